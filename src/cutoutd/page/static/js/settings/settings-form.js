/**
 * One folder's form: the keys that a page may set, as they were loaded, and what the person changed. Shows what the loader says at the field
 * it means. Loading, saving and hearing of changes wait for each other, so that news of one's own change are compared with the answer to
 * it, whichever comes first.
 */

import { watchBottomBar } from "../components/bottom-bar.js";
import { mayWrite, on, read, write } from "../core/api.js";
import { ask } from "../core/dialogs.js";
import { el, name, plain, prose, put } from "../core/dom.js";
import { IdempotentRequests } from "../core/idempotent-request.js";
import { announce, fail, toast } from "../core/messages.js";
import { coded, errorText, number, said, t } from "../core/text.js";
import { keepUnsaved } from "../core/unsaved-work.js";
import { fieldHelp, fieldLabel, valueText, withoutNumber } from "./setting-labels.js";
import { SettingsSections } from "./settings-sections.js";

const SAVE = "save"; // the subject of the one change that may have no answer

export class SettingsForm {
  constructor(place, folder, signal) {
    Object.assign(this, { place, folder, signal, digest: "", fields: [], changes: new Map(), controls: new Map(), turn: Promise.resolve() });
    this.requests = new IdempotentRequests();
    this.sections = new SettingsSections(signal);
    const tell = (error) => error.code === "no_folder" && fail(error); // where nobody answers, the frame says so
    const look = () => this.inTurn(() => this.changed()).catch(tell);
    on("settings", look, signal);
    on("connection", ({ up }) => up && look(), signal); // nobody told of what changed meanwhile
    keepUnsaved(() => this.changes.size > 0, { signal });
    this.watchBar = watchBottomBar(signal);
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
    const unanswered = this.requests.unanswered(SAVE);
    if (unanswered) {
      const said = await this.post(unanswered).catch(() => null);
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
    this.status = el("p", { class: "secondary", role: "status" });
    this.saver = el("button", { class: "button primary", type: "submit" }, t("settings.save"));
    this.undoer = el("button", { class: "button", type: "button", on: { click: () => (this.changes.clear(), this.draw()) } }, t("settings.discard"));
    put(
      this.place,
      el("h2", { tabindex: "-1", class: "visually-hidden", ref: (one) => (this.heading = one) }, name(this.folder.name)),
      el("p", { class: "secondary" }, name(this.folder.input), " → ", name(this.folder.output)),
      this.locked ? el("p", { class: "callout" }, errorText(this.locked)) : null,
      this.sections.finder,
      el(
        "form",
        { class: "settings", novalidate: true, on: { submit: (event) => this.save(event) } },
        this.sections.build(this.fields, (field) => this.row(field)),
        el("div", { class: "savebar" }, this.status, this.undoer, this.saver),
      ),
    );
    this.showState();
    this.watchBar(this.saver.closest(".savebar"));
  }

  row(field) {
    const id = `setting-${field.key.replaceAll(".", "-")}`;
    const problem = el("p", { id: `${id}-error`, class: "field-error" });
    const control = this.control(field, id, this.now(field));
    const back = el("button", { class: "button quiet small", type: "button", on: { click: () => this.set(field, field.default, true) } }, t("settings.default", { value: valueText(field.default, field) }));
    const label = fieldLabel(field);
    this.controls.set(field.key, { control, problem, back });
    return el(
      "div",
      { class: "setting" },
      field.kind === "bool" ? el("label", { class: "check" }, control, el("span", { class: "label" }, label)) : [el("label", { class: "label", for: id }, label), el("div", { class: "setting-value" }, control, field.unit ? el("span", { class: "secondary" }, field.unit) : null)],
      problem,
      el("p", { id: `${id}-help`, class: "secondary setting-help" }, prose(fieldHelp(field))),
      el("div", { class: "setting-foot" }, el("code", { class: "small secondary" }, field.key), back),
    );
  }

  control(field, id, value) {
    const common = { id, "aria-describedby": `${id}-error ${id}-help`, disabled: !mayWrite() || Boolean(this.locked) };
    const heard = (read_) => ({ on: { input: ({ target }) => this.set(field, read_(target)) } });
    if (field.kind === "bool") return el("input", { ...common, type: "checkbox", checked: value, ...heard((one) => one.checked) });
    if (field.kind === "choice") {
      const choices = field.choices.map((one) => el("option", { value: one, selected: one === value }, one === "" ? t("settings.empty") : coded(`choice.${withoutNumber(field.key)}`, one)));
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
    for (const field of this.fields) this.controls.get(field.key).back.hidden = this.now(field) === field.default || !mayWrite();
    this.sections.describe((field) => this.now(field), ({ key }) => this.changes.has(key));
  }

  now({ key, value }) {
    return this.changes.has(key) ? this.changes.get(key) : value;
  }

  problem(key, text) {
    const found = this.controls.get(key);
    if (!found) return false;
    found.problem.textContent = text;
    if (text) found.control.setAttribute("aria-invalid", "true");
    else found.control.removeAttribute("aria-invalid");
    return true;
  }

  /* What is wrong is said before anybody is asked. */
  check() {
    const wrong = this.fields.filter((field) => {
      const text = this.changes.has(field.key) ? problemOf(field, this.changes.get(field.key)) : "";
      if (text) this.problem(field.key, text);
      return text !== "";
    });
    if (wrong.length) this.focus(wrong[0].key);
    return wrong.length === 0;
  }

  focus(key) {
    const { control, problem } = this.controls.get(key);
    this.sections.reveal(key);
    control.focus();
    problem.scrollIntoView({ block: "nearest" }); // it is below the field
    announce(problem.textContent, { urgent: true });
  }

  async save(event) {
    event.preventDefault();
    if (!this.check()) return;
    const pressed = document.activeElement === this.saver; // it is removed when the form is drawn anew
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
    const unanswered = this.requests.unanswered(SAVE);
    const hasArrived = unanswered && (await this.find()).digest !== unanswered.digest;
    if (hasArrived) said = await this.post(unanswered);
    else this.requests.forget(SAVE);
    if (this.changes.size) said = await this.post({ digest: this.digest, changes: [...this.changes] });
    await this.load();
    return said;
  }

  async post({ digest, changes }) {
    const body = { folder: this.folder.name, digest, changes: Object.fromEntries(changes) };
    const said = await this.requests.send(SAVE, { digest, changes }, (request) => write("change_settings", body, { request, signal: this.signal }));
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
    const keys = this.fields.map((one) => one.key);
    const isMeant = ({ key }) => this.changes.has(key) && `folder.${withoutNumber(key)}` === error.named?.key;
    const key = this.fields.find(isMeant)?.key ?? error.named?.key ?? keys.find((one) => error.text?.includes(one.split(".").at(-1)));
    if ([403, 422].includes(error.status) && key && this.problem(key, errorText(error))) this.focus(key);
    else fail(error);
  }
}

/* Written is not yet taken over: the daemon may be busy, not there, or refuse. */
function tellSaved({ taken_over: how = "now", why = "" }) {
  if (how === "refused") toast(t("settings.savedRefused", { why: plain(said(why)) }), { kind: "bad", seconds: 20 });
  else toast(t(`settings.saved.${how}`), { seconds: 10 });
}

/* Out of range, or empty. */
function problemOf({ kind, min, max }, value) {
  if (kind !== "int" && kind !== "float") return "";
  if (value === null || Number.isNaN(value)) return t("settings.needsNumber");
  if (kind === "int" && !Number.isInteger(value)) return t("settings.needsWhole");
  if (min !== null && value < min) return t("settings.atLeast", { value: number(min, 3) });
  if (max !== null && value > max) return t("settings.atMost", { value: number(max, 3) });
  return "";
}
