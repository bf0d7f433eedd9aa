/** Settings of a folder: the keys that a page may set, with the reference's explanations, in another language those of its catalogue. Shows what the loader says at the field it means. */

import { hadNoAnswer, on, mayWrite, read, write } from "../core/api.js";
import { getSession } from "../core/app-state.js";
import { el, icon, name, plain, put } from "../core/dom.js";
import { announce, ask, fail, toast } from "../core/messages.js";
import { href } from "../core/router.js";
import { coded, errorText, number, t } from "../core/text.js";
import { keepUnsaved } from "../core/unsaved-work.js";

export const title = "settings.title";

/* Order and headings of the form. A key that is in none stands at the end. */
const GROUPS = {
  rendition: [],
  matte: [],
  doubt: ["review_below", "doubtful_below"],
  pictures: ["recursive", "include", "exclude", "existing", "raw_pairs", "pair_wait_s"],
  names: ["originals", "metadata", "derived_from", "names", "moves", "on_conflict"],
  pace: ["order", "watch", "settle_s", "poll_interval_s", "rescan_interval_s"],
};

export async function show(place, { args, signal }) {
  const chosen = args[0] ?? "";
  const tabs = el("nav", { class: "tabs", "aria-label": t("settings.folders") });
  const body = el("div", { class: "settings-body" });
  if (getSession().changeable === false) {
    put(place, el("div", { class: "view-head" }, el("h1", {}, t(title))), el("div", { class: "empty" }, icon("settings"), el("p", { class: "empty-title" }, t("settings.noConfig")), el("p", {}, t("settings.noConfigHow"))));
    return;
  }
  put(place, el("div", { class: "view-head" }, el("h1", {}, t(title)), el("a", { class: "button", href: "#/welcome" }, icon("folder"), t("inbox.add"))), tabs, body);
  const { folders } = await read("overview", {}, { signal });
  if (!folders.length) {
    put(body, el("div", { class: "empty" }, icon("folder"), el("p", { class: "empty-title" }, t("settings.none")), el("a", { class: "button primary", href: "#/welcome" }, t("inbox.add"))));
    return;
  }
  const folder = folders.find((one) => one.name === chosen) ?? folders[0];
  put(tabs, folders.map((one) => el("a", { href: href(`/settings/${encodeURIComponent(one.name)}`), "aria-current": one === folder ? "page" : null }, name(one.name))));
  await new Form(body, folder, signal).start();
}

/* One folder's form: what was loaded, and what the person changed. Loading, saving and hearing of changes wait for each other, so that news of
 * one's own change are compared with the answer to it, whichever comes first. */
class Form {
  constructor(place, folder, signal) {
    Object.assign(this, { place, folder, signal, digest: "", fields: [], changes: new Map(), controls: new Map(), turn: Promise.resolve() });
    this.unanswered = null; // a change whose saving had no answer: it may have arrived
    const look = () => this.inTurn(() => this.changed());
    on("settings", look, signal);
    on("connection", ({ up }) => up && look().catch(() => {}), signal); // nobody told of what changed meanwhile
    keepUnsaved(() => this.changes.size > 0, { signal });
    const { style } = document.documentElement;
    this.bar = new ResizeObserver(([{ target }]) => style.setProperty("--savebar", `${target.offsetHeight}px`)); // messages are above it
    signal.addEventListener("abort", () => {
      this.bar.disconnect();
      style.removeProperty("--savebar");
    });
  }

  start() {
    return this.inTurn(() => this.load());
  }

  /* Runs one after the other. */
  inTurn(run) {
    const done = this.turn.then(run);
    this.turn = done.catch(() => {});
    return done;
  }

  async load() {
    this.take(await this.find());
    this.draw();
  }

  find() {
    return read("folder_settings", { folder: this.folder.name }, { signal: this.signal });
  }

  take({ digest, fields, locked = null }) {
    Object.assign(this, { digest, fields, locked });
  }

  /* Somebody changed the file: what the person typed stays, the rest is new. */
  async changed() {
    let found = await this.find();
    if (found.digest === this.digest) return;
    if (this.unanswered) {
      const said = await this.post(this.unanswered).catch(() => null);
      if (said) {
        await this.load();
        return tellSaved(said);
      }
      found = await this.find();
    }
    this.take(found);
    this.draw();
    toast(t("settings.changedElsewhere"));
  }

  /* The focus stays in its field; after a click on Save, which is gone then, it is on the heading. */
  draw() {
    const focused = this.place.contains(document.activeElement) ? document.activeElement.id : null;
    this.build();
    if (focused !== null) (document.getElementById(focused) ?? this.heading).focus({ preventScroll: true });
  }

  build() {
    this.controls.clear();
    const groups = inOrder([...new Set(this.fields.map(({ key }) => groupOf(key)))]);
    this.status = el("p", { class: "secondary", role: "status" });
    this.saver = el("button", { class: "button primary", type: "submit" }, t("settings.save"));
    this.undoer = el("button", { class: "button", type: "button", on: { click: () => (this.changes.clear(), this.draw()) } }, t("settings.discard"));
    put(
      this.place,
      el(
        "form",
        { class: "settings", novalidate: true, on: { submit: (event) => this.save(event) } },
        el("h2", { tabindex: "-1", class: "visually-hidden", ref: (one) => (this.heading = one) }, name(this.folder.name)),
        el("p", { class: "secondary" }, name(this.folder.input), " → ", name(this.folder.output)),
        this.locked ? el("p", { class: "callout" }, errorText(this.locked)) : null,
        groups.map((group) => el("fieldset", {}, el("legend", {}, legendOf(group)), this.fields.filter(({ key }) => groupOf(key) === group).map((field) => this.row(field)))),
        el("div", { class: "savebar" }, this.status, this.undoer, this.saver),
      ),
    );
    this.showState();
    this.bar.disconnect();
    this.bar.observe(this.saver.closest(".savebar"));
  }

  row(field) {
    const id = `setting-${field.key.replaceAll(".", "-")}`;
    const value = this.changes.has(field.key) ? this.changes.get(field.key) : field.value;
    const problem = el("p", { id: `${id}-error`, class: "field-error" });
    const control = this.control(field, id, value);
    const back = el("button", { class: "button quiet small", type: "button", on: { click: () => this.set(field, field.default, true) } }, t("settings.default", { value: shown(field.default, field) }));
    const label = labelOf(field);
    this.controls.set(field.key, { control, problem, back });
    return el(
      "div",
      { class: "setting" },
      field.kind === "bool" ? el("label", { class: "check" }, control, el("span", { class: "label" }, label)) : [el("label", { class: "label", for: id }, label), el("div", { class: "setting-value" }, control, field.unit ? el("span", { class: "secondary" }, field.unit) : null)],
      problem,
      el("p", { id: `${id}-help`, class: "secondary setting-help" }, plain(explained(field))),
      el("div", { class: "setting-foot" }, el("code", { class: "small secondary" }, field.key), back),
    );
  }

  control(field, id, value) {
    const common = { id, "aria-describedby": `${id}-error ${id}-help`, disabled: !mayWrite() || Boolean(this.locked) };
    const heard = (read_) => ({ on: { input: ({ target }) => this.set(field, read_(target)) } });
    if (field.kind === "bool") return el("input", { ...common, type: "checkbox", checked: value, ...heard((one) => one.checked) });
    if (field.kind === "choice") {
      const choices = field.choices.map((one) => el("option", { value: one, selected: one === value }, one === "" ? t("settings.empty") : coded(`choice.${field.key}`, one)));
      return el("select", { ...common, class: "select", ...heard((one) => one.value) }, choices);
    }
    if (field.kind === "text") return el("input", { ...common, class: "field", type: "text", autocomplete: "off", spellcheck: "false", value: value ?? "", ...heard((one) => one.value) });
    const whole = field.kind === "int";
    return el("input", { ...common, class: "field number", type: "number", step: whole ? 1 : "any", min: field.min, max: field.max, value: value ?? "", ...heard((one) => (one.value === "" ? null : Number(one.value))) });
  }

  set(field, value, draws = false) {
    if (value === field.value) this.changes.delete(field.key);
    else this.changes.set(field.key, value);
    this.problem(field.key, "");
    if (draws) {
      const { control } = this.controls.get(field.key);
      if (field.kind === "bool") control.checked = value;
      else control.value = value ?? "";
      control.focus();
    }
    this.showState();
  }

  showState() {
    const count = this.changes.size;
    this.status.textContent = count ? t("settings.unsaved", { count }) : "";
    this.saver.disabled = this.undoer.disabled = count === 0;
    this.saver.closest(".savebar").hidden = count === 0;
    for (const field of this.fields) {
      const now = this.changes.has(field.key) ? this.changes.get(field.key) : field.value;
      this.controls.get(field.key).back.hidden = now === field.default || !mayWrite();
    }
  }

  problem(key, text) {
    const found = this.controls.get(key);
    if (!found) return false;
    found.problem.textContent = text;
    if (text) found.control.setAttribute("aria-invalid", "true");
    else found.control.removeAttribute("aria-invalid");
    return true;
  }

  /* Out of range, or empty: said before anybody is asked. */
  check() {
    const wrong = this.fields.filter(({ key, kind, min, max }) => {
      if (!this.changes.has(key) || !["int", "float"].includes(kind)) return false;
      const value = this.changes.get(key);
      const text = value === null || Number.isNaN(value) ? t("settings.needsNumber") : kind === "int" && !Number.isInteger(value) ? t("settings.needsWhole") : min !== null && value < min ? t("settings.atLeast", { value: number(min, 3) }) : max !== null && value > max ? t("settings.atMost", { value: number(max, 3) }) : "";
      this.problem(key, text);
      return text !== "";
    });
    if (wrong.length) this.focus(wrong[0].key);
    return wrong.length === 0;
  }

  focus(key) {
    const { control, problem } = this.controls.get(key);
    control.focus();
    announce(problem.textContent, { urgent: true });
  }

  async save(event) {
    event.preventDefault();
    if (!this.check()) return;
    const pressed = document.activeElement === this.saver; // it loses the focus, and is gone then
    this.saver.disabled = true;
    try {
      const said = await this.inTurn(() => this.send());
      if (pressed) this.heading.focus({ preventScroll: true });
      if (said) tellSaved(said); // else it was sent again, and told, before its turn
    } catch (error) {
      this.saver.disabled = false;
      if (error.status === 409) await this.conflict();
      else this.refused(error);
    }
  }

  /* A change that had no answer and may have arrived is sent again before what was typed since: cutoutd knows it by what it asks for. One
   * that did not arrive is not: what the person still wants of it is among the changes. */
  async send() {
    let said = null;
    if (this.unanswered && (await this.find()).digest === this.unanswered.digest) this.unanswered = null;
    if (this.unanswered) said = await this.post(this.unanswered);
    if (this.changes.size) said = await this.post({ digest: this.digest, changes: new Map(this.changes) });
    await this.load();
    return said;
  }

  async post(asked) {
    const { digest, changes } = asked;
    this.unanswered = asked;
    let said;
    try {
      said = await write("change_settings", { folder: this.folder.name, digest, changes: Object.fromEntries(changes) }, { signal: this.signal });
    } catch (error) {
      if (!hadNoAnswer(error)) this.unanswered = null;
      throw error;
    }
    this.unanswered = null;
    this.digest = said.digest;
    for (const [key, value] of changes) {
      if (this.changes.get(key) === value) this.changes.delete(key); // others were typed meanwhile
      else if (!this.changes.has(key)) this.#setBack(key);
    }
    return said;
  }

  /* The person set it back to what was loaded while it was being saved: that is a change of its own now. */
  #setBack(key) {
    const field = this.fields.find((one) => one.key === key);
    if (field) this.changes.set(key, field.value);
  }

  async conflict() {
    if (await ask(t("settings.conflict"), { yes: t("settings.loadAnew"), detail: t("settings.conflictDetail") })) await this.inTurn(() => this.load()).catch(fail);
  }

  refused(error) {
    const key = error.named?.key ?? this.fields.map((one) => one.key).find((one) => error.text?.includes(one.split(".").at(-1)));
    if (error.status === 422 && key && this.problem(key, errorText(error))) this.focus(key);
    else fail(error);
  }
}

/* Written is not yet taken over: the daemon may be busy, not there, or refuse. */
function tellSaved({ taken_over: how = "now", why = "" }) {
  if (how === "refused") toast(t("settings.savedRefused", { why: plain(why) }), { kind: "bad", seconds: 20 });
  else toast(t(`settings.saved.${how}`));
}

/* "rendition.2" of several results, "matte", or the group that lists the key. */
function groupOf(key) {
  if (key.includes(".")) return key.slice(0, key.lastIndexOf("."));
  return Object.keys(GROUPS).find((group) => GROUPS[group].includes(key)) ?? "other";
}

function inOrder(groups) {
  const place = (group) => (Object.keys(GROUPS).indexOf(group.split(".")[0]) + 100) % 100;
  return groups.sort((one, other) => place(one) - place(other));
}

function legendOf(group) {
  const [kind, which] = group.split(".");
  return `${coded("settingsgroup", kind)}${which ? ` ${which}` : ""}`;
}

function labelOf(field) {
  return coded("setting", plainKey(field), field.key.split(".").at(-1).replaceAll("_", " "));
}

/* A field's key without the number of its result, as the catalogue has it: "rendition.format" for "rendition.2.format". */
function plainKey({ key }) {
  return key.replace(/\.\d+\./, ".");
}

/* The reference speaks of a file's "true" and "false"; here it is a switch. */
function explained(field) {
  const text = coded("explain", plainKey(field), field.explanation);
  if (field.kind !== "bool") return text;
  const said = (key) => t(key).replace(/^./, (letter) => letter.toUpperCase());
  return text.replace(/\btrue:/g, `${said("settings.on")}:`).replace(/\bfalse:/g, `${said("settings.off")}:`);
}

function shown(value, field) {
  if (field.kind === "bool") return t(value ? "settings.on" : "settings.off");
  if (field.kind === "choice") return coded(`choice.${field.key}`, value);
  if (value === "" || value === null) return t("settings.empty");
  return `${typeof value === "number" ? number(value, 3) : value}${field.unit ? ` ${field.unit}` : ""}`;
}
