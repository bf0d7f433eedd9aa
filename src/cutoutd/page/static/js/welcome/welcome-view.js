/** First run, and adding a folder: choose a folder, choose what comes out, watch the first cutout appear. */

import { on, picture, read, write } from "../core/api.js";
import { getSession, onOverview, overview, refresh, setSession } from "../core/app-state.js";
import { el, icon, name, plain, prose, put, redraw } from "../core/dom.js";
import { fail } from "../core/messages.js";
import { href } from "../core/router.js";
import { coded, errorText, said, t } from "../core/text.js";
import { FolderChooser } from "./folder-chooser.js";
import { formDrawing } from "./form-drawings.js";

export const title = "welcome.title";

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
    if (number === 0) return;
    window.scrollTo(0, 0); // the step before may have been longer
    heading?.focus({ preventScroll: true });
  };
  const folder = () => (new FolderChooser(stage, chosen, form, signal).start(), at(0));
  const form = () => chooseForm(stage, chosen, { back: folder, done: watch, signal }).then(() => at(1), fail);
  const watch = (added) => (watchFirst(stage, added, chosen, signal), at(2));
  folder();
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
      const { name: added, taken_over: how, why } = await write("add_folder", { input: chosen.input, output: chosen.output, form: chosen.form, existing: existing.checked ? "cut" : "skip", create: chosen.made, seen: chosen.places.identity }, { signal });
      setSession({ ...getSession(), configured: true });
      if (how === "refused") fail({ code: "config_refused", text: t("settings.savedRefused", { why: plain(said(why)) }) });
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

/* Step 3. Waits for the first picture that is cut, or fails. */
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
    line.textContent = good ? t("welcome.firstDone", { name: plain(job.name) }) : t("welcome.firstFailed", { name: plain(job.name), why: plain(said(job.why)) });
    put(screen, good ? el("a", { href: href("/review", { job: job.job }), "aria-label": t("welcome.look", { name: plain(job.name) }) }, el("img", { src: picture.thumb(job.job, "cutout", job.seen), alt: "" })) : el("p", { class: "first-cutout-failed" }, icon("failures"), prose(said(job.advice))));
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

