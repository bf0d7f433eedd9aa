/** First run, and adding a folder: choose a folder, choose what comes out, watch the first cutout appear. */

import { mayWrite, on, picture, read, write } from "../core/api.js";
import { getSession, onOverview, overview, refresh, setSession } from "../core/app-state.js";
import { el, icon, name, plain, put, redraw } from "../core/dom.js";
import { fail } from "../core/messages.js";
import { href } from "../core/router.js";
import { coded, errorText, t } from "../core/text.js";
import { formDrawing } from "./form-drawings.js";

export const title = "welcome.title";

const LOOK_MS = 3000;
const STARTS_MS = 20_000; // a first run begins by itself once there is a folder

export async function show(place, { signal }) {
  const first = !getSession().configured;
  const stage = el("div", { class: "welcome-step" });
  const steps = el("ol", { class: "steps" });
  const chosen = { input: "", output: "", form: "", places: null };
  put(
    place,
    el("div", { class: "welcome-head" }, el("h1", {}, t(first ? "welcome.hello" : "welcome.add")), first ? el("p", { class: "lead" }, t("welcome.lead")) : null),
    steps,
    stage,
  );
  const at = (number) => {
    put(steps, ["folder", "form", "watch"].map((one, i) => el("li", { "aria-current": i === number ? "step" : null, class: i < number ? "past" : "" }, el("span", { class: "step-number" }, i < number ? icon("check") : String(i + 1)), t(`welcome.step.${one}`))));
    const heading = stage.querySelector("h2");
    heading?.setAttribute("tabindex", "-1");
    if (number > 0) heading?.focus();
  };
  const folder = () => (chooseFolder(stage, chosen, form, signal), at(0));
  const form = async () => {
    await chooseForm(stage, chosen, { back: folder, done: watch, signal });
    at(1);
  };
  const watch = (added) => (watchFirst(stage, added, chosen, signal), at(2));
  folder();
}

/* Step 1. Live: what is in the folder, whether it can be read and written. */
function chooseFolder(stage, chosen, done, signal) {
  const facts = el("div", { class: "facts", role: "status" });
  const list = el("ul", { class: "folder-list" });
  const where = el("div", { class: "current-folder" });
  const next = el("button", { class: "button primary", disabled: true, on: { click: done } }, t("welcome.use"));
  const fresh = el("input", { id: "new-folder", class: "field", placeholder: "to-cut", autocomplete: "off", spellcheck: "false" });
  const make = (event) => {
    event.preventDefault();
    chosen.input = `${chosen.places.path.replace(/\/$/, "")}/${fresh.value.trim() || "to-cut"}`;
    done();
  };
  put(
    stage,
    el("h2", {}, t("welcome.folderTitle")),
    el("p", { class: "secondary" }, t("welcome.folderHow")),
    el("div", { class: "folder-browser card" }, where, list),
    facts,
    el("div", { class: "step-actions" }, next),
    el("details", { class: "new-folder" }, el("summary", {}, t("welcome.newFolder")), el("form", { class: "inline-form", on: { submit: make } }, el("label", { class: "label", for: "new-folder" }, t("welcome.newName")), el("div", { class: "toolbar" }, fresh, el("button", { class: "button", type: "submit" }, t("welcome.make"))))),
  );
  let timer = 0;
  const look = async (path) => {
    clearTimeout(timer);
    try {
      const found = await read("places", { path }, { signal });
      if (!stage.contains(list)) return;
      chosen.places = found;
      chosen.input = found.path;
      drawPlaces(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      put(facts, el("p", { class: "field-error" }, errorText(error)));
    }
    if (!signal.aborted && stage.contains(list)) timer = setTimeout(() => look(chosen.places?.path), LOOK_MS);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  const enter = (path) => look(path).then(() => list.querySelector("button")?.focus() ?? next.focus());
  const drawPlaces = (found) => {
    redraw(where, [found.path, found.parent], () => [
      found.parent ? el("button", { class: "button quiet icon-only", "aria-label": t("welcome.up"), on: { click: () => enter(found.parent) } }, icon("up")) : null,
      el("p", { class: "current-folder-path" }, name(found.path)),
    ]);
    redraw(list, found.folders, () =>
      found.folders.length
        ? found.folders.map((one) => el("li", {}, el("button", { class: "button quiet place-button", data: { keep: one.path }, on: { click: () => enter(one.path) } }, icon("folder"), name(one.name))))
        : el("li", { class: "secondary none" }, t("welcome.noFolders")),
    );
    redraw(facts, [found.readable, found.writable, found.pictures, found.pictures_more, found.unnamed, found.folders_more], () => [
      fact(found.readable, found.readable ? "welcome.readable" : "welcome.unreadable"),
      fact(found.writable, found.writable ? "welcome.writable" : "welcome.unwritable"),
      found.readable ? el("p", { class: "fact" }, icon("review"), t(found.pictures_more ? "welcome.picturesMore" : "welcome.pictures", { count: found.pictures })) : null,
      found.unnamed ? el("p", { class: "fact" }, t("welcome.unnamed", { count: found.unnamed })) : null,
      found.folders_more ? el("p", { class: "fact" }, t("welcome.foldersMore")) : null,
    ]);
    const isRoot = found.roots.includes(found.path);
    next.disabled = !found.readable || isRoot || !mayWrite();
    put(next, isRoot ? t("welcome.pick") : t("welcome.useThis", { name: plain(found.path.split("/").at(-1)) }));
  };
  look("");
}

function fact(good, key) {
  return el("p", { class: good ? "fact good" : "fact bad" }, icon(good ? "check" : "cross"), t(key));
}

/* Where cutouts go by default: beside the input, never inside. */
function outputFor(input) {
  const at = input.lastIndexOf("/");
  const base = input.slice(at + 1);
  return `${input.slice(0, at)}/${base === "to-cut" ? "cutouts" : `${base}-cutouts`}`;
}

/* Step 2. */
async function chooseForm(stage, chosen, { back, done, signal }) {
  const forms = await read("forms", {}, { signal });
  chosen.form ||= forms[0].name;
  const output = el("input", { id: "output", class: "field", value: outputFor(chosen.input), autocomplete: "off", spellcheck: "false", "aria-describedby": "output-help" });
  const there = chosen.places?.path === chosen.input ? chosen.places.pictures : 0;
  const existing = el("input", { type: "checkbox", checked: true });
  const problem = el("p", { class: "field-error", role: "alert" });
  const start = el("button", { class: "button primary", type: "submit" }, t("welcome.start"));
  const submit = async (event) => {
    event.preventDefault();
    start.disabled = true;
    problem.textContent = "";
    try {
      chosen.output = output.value.trim();
      const { name: added, taken_over: how, why } = await write("add_folder", { input: chosen.input, output: chosen.output, form: chosen.form, existing: existing.checked ? "cut" : "skip", create: true }, { signal });
      setSession({ ...getSession(), configured: true });
      if (how === "refused") fail({ code: "config_refused", text: t("settings.savedRefused", { why: plain(why) }) });
      done(added);
      refresh();
    } catch (error) {
      if (error.name === "AbortError") return;
      problem.textContent = errorText(error);
      start.disabled = false;
    }
  };
  put(
    stage,
    el("h2", {}, t("welcome.formTitle")),
    el(
      "form",
      { on: { submit } },
      el("fieldset", { class: "forms" }, el("legend", { class: "visually-hidden" }, t("welcome.formTitle")), forms.map((one) => formChoice(one, chosen))),
      el("div", { class: "output-folder" }, el("label", { class: "label", for: "output" }, t("welcome.output")), output, el("p", { id: "output-help", class: "secondary small" }, t("welcome.outputHow"))),
      there ? el("label", { class: "check" }, existing, el("span", { class: "label" }, t(chosen.places.pictures_more ? "welcome.existingMore" : "welcome.existing", { count: there }))) : null,
      problem,
      el("div", { class: "step-actions" }, el("button", { class: "button", type: "button", on: { click: back } }, t("welcome.back")), start),
    ),
  );
}

function formChoice(form, chosen) {
  return el(
    "label",
    { class: "form-choice card" },
    el("input", { type: "radio", name: "form", value: form.name, checked: form.name === chosen.form, on: { change: () => (chosen.form = form.name) } }),
    formDrawing(form.name),
    el("span", { class: "form-title" }, coded("form", form.name, form.title)),
    el("span", { class: "secondary small" }, coded("formwhat", form.name, form.explanation)),
  );
}

/* Step 3. The first picture that ends, however it ends. */
function watchFirst(stage, added, chosen, signal) {
  const screen = el("div", { class: "first-cutout checker" });
  const line = el("p", { class: "first-cutout-line", role: "status" });
  const next = el("a", { class: "button primary", href: "#/inbox", hidden: true }, t("welcome.toInbox"));
  put(stage, el("h2", {}, t("welcome.watchTitle")), line, screen, el("div", { class: "step-actions" }, next));
  let ended = "";
  const begun = performance.now();
  const end = (job) => {
    const good = job.state === "done" || job.state === "review";
    if (ended === "good" || (ended && !good)) return;
    ended = good ? "good" : "failed";
    line.textContent = good ? t("welcome.firstDone", { name: plain(job.name) }) : t("welcome.firstFailed", { name: plain(job.name), why: plain(job.why) });
    put(screen, good ? el("a", { href: href("/review", { job: job.job }), "aria-label": t("welcome.look", { name: plain(job.name) }) }, el("img", { src: picture.thumb(job.job, "cutout", job.seen), alt: "" })) : el("p", { class: "first-cutout-failed" }, icon("failures"), plain(job.advice ?? "")));
    next.hidden = false;
  };
  const draw = (now) => {
    const folder = now.folders.find((one) => one.name === added);
    if (ended) return;
    const busy = folder && folder.waiting + folder.working > 0;
    line.textContent = !now.running ? t(performance.now() - begun < STARTS_MS ? "welcome.starting" : "welcome.notRunning") : now.paused ? t("welcome.paused") : busy ? t("welcome.cutting") : t("welcome.drop");
    redraw(screen, [busy, chosen.input], () => el("div", { class: busy ? "first-cutout-wait busy" : "first-cutout-wait" }, icon(busy ? "again" : "inbox"), name(chosen.input, { class: "path" })));
    next.hidden = false;
  };
  const look = async () => {
    const { jobs } = await read("jobs", { folder: added, state: ["done", "review", "failed"], sort: "oldest", limit: 20 }, { signal });
    for (const job of jobs) end(job);
  };
  onOverview(draw, signal);
  setTimeout(() => !signal.aborted && overview() && draw(overview()), STARTS_MS);
  on("jobs", (event) => {
    for (const job of event.ended) if (job.folder === added) end(job);
  }, signal);
  on("overview", () => ended !== "good" && look().catch(() => {}), signal);
  look().catch(fail);
}

