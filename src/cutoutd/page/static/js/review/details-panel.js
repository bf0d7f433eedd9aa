/** What is said of one picture, or of those that are selected, beside it: why it is doubtful, what to look for, what was decided. */

import { el, icon, name, prose, put } from "../core/dom.js";
import { keyOf } from "../core/keyboard-shortcuts.js";
import { coded, duration, has, number, percent, said, t } from "../core/text.js";
import { decisionOf, stateOf } from "./picture-labels.js";

const CHIPS = { review: "warn", doubtful: "warn", done: "good", rejected: "bad", failed: "bad" };

export class DetailsPanel {
  // `act(action)` does what a button says.
  constructor(act) {
    this.act = act;
    this.subject = el("div", { class: "side-subject" });
    this.buttons = el("div", { class: "side-actions" });
    this.details = el("details", { class: "side-details" }, el("summary", {}, t("review.details")), el("div", {}));
    this.element = el("aside", { class: "side", "aria-label": t("review.about") }, this.buttons, this.subject, this.details);
    put(
      this.buttons,
      this.#button("accept", "check", "primary"),
      this.#button("reject", "cross", ""),
      this.#button("fix", "brush", ""),
      this.#button("undecided", "undo", ""),
      this.#button("again", "again", ""),
      this.#button("againWith", "more", ""),
    );
  }

  /** One picture. `running`: whether decisions are carried out at once. */
  draw(job, mark, { running }) {
    this.#enable(job);
    if (!job) return put(this.subject, el("p", { class: "secondary" }, t("review.loading")));
    const state = stateOf(job);
    put(
      this.subject,
      el("h2", {}, name(job.name)),
      el("p", { class: "secondary small" }, name(job.folder), job.width ? ` · ${number(job.width)} × ${number(job.height)}` : ""),
      el(
        "p",
        { class: "side-chips" },
        el("span", { class: `chip ${CHIPS[state] ?? ""}` }, coded("review.state", state)),
        scoreOf(job),
      ),
      this.#decision(decisionOf(job, mark), { running, isSaid: state === "rejected" }),
      job.refused ? el("p", { class: "side-note bad" }, prose(said(job.refused))) : null,
      job.reasons.length > 0 && job.doubtful ? el("ul", { class: "side-reasons" }, job.reasons.map(reason)) : null,
      job.reasons.length === 0 && whyOf(job) ? el("p", {}, prose(said(whyOf(job)))) : null,
      job.advice ? el("p", { class: "secondary" }, state === "rejected" ? t("review.rejectedHow") : prose(said(job.advice))) : null,
    );
  }

  /** Several pictures. `total`: how many match the filter. */
  drawMany(count, total) {
    this.#enable({ fixable: false, seen: "many" });
    put(
      this.subject,
      el("h2", {}, t("review.selected", { count })),
      el("p", { class: "secondary" }, t("review.selectedHow")),
      el(
        "div",
        { class: "toolbar" },
        count < total ? el("button", { class: "button", on: { click: () => this.act("all") } }, t("review.selectAll", { count: total })) : null,
        el("button", { class: "button", on: { click: () => this.act("escape") } }, t("review.clear")),
      ),
    );
    this.details.hidden = true;
  }

  /** All that is known of it, when it has come. */
  drawDetails(job) {
    this.details.hidden = !job;
    if (!job) return;
    const seconds = (value) => (typeof value === "number" ? duration(value) : null);
    const rows = [
      ["review.model", [job.model, job.second?.model ?? job.second_opinion?.model].filter(Boolean).join(" + ")],
      ["review.took", seconds(job.seconds)],
      ["review.files", (job.outputs ?? []).map((one) => el("span", { class: "side-file" }, name(typeof one === "string" ? one : one.name)))],
      ["review.path", name(job.path)],
      ["review.warnings", (job.warnings ?? []).map((one) => el("span", { class: "side-file" }, prose(said(one))))],
    ].filter(([, value]) => value && (!Array.isArray(value) || value.length > 0));
    put(this.details.lastElementChild, el("dl", {}, rows.map(([key, value]) => [el("dt", {}, t(key)), el("dd", {}, value)])));
  }

  // `isSaid`: whether the state says already that it is rejected.
  #decision(decision, { running, isSaid }) {
    if (!decision) return null;
    const { verb, state, text } = decision;
    if (state === "conflict") return el("p", { class: "side-note bad", role: "status" }, icon("warn"), el("span", {}, coded("conflict", decision.code, text)));
    const decided = coded("review.decided", verb);
    const late = state === "unsent" ? t("review.unsent") : !running ? t("review.kept") : "";
    if (isSaid && verb === "reject" && state !== "unsent") return null;
    const kind = verb === "accept" ? "good" : verb === "reject" ? "bad" : "";
    return el("p", { class: `side-note ${kind}` }, icon(late ? "clock" : verb === "reject" ? "cross" : "check"), el("span", {}, [decided, late].filter(Boolean).join(" ")));
  }

  #button(action, sign, kind) {
    const label = t(`review.do.${action}`);
    return el(
      "button",
      {
        class: `button ${kind}`,
        data: { action },
        title: `${label} (${keyOf(action)})`,
        "aria-keyshortcuts": keyOf(action).length === 1 ? keyOf(action) : null,
        on: { click: (event) => this.act(action, event) },
      },
      icon(sign),
      el("span", {}, label),
      el("kbd", { "aria-hidden": "true" }, keyOf(action)),
    );
  }

  #enable(job) {
    const seen = Boolean(job?.seen);
    const needs = { accept: seen, reject: seen, undecided: seen || job?.state === "rejected", fix: job?.fixable };
    for (const button of this.buttons.children) {
      const { action } = button.dataset;
      const off = !job || (action in needs && !needs[action]);
      button.setAttribute("aria-disabled", String(off));
    }
  }
}

/* Why it was doubtful, of a rejected one: that it was rejected is its state. */
function whyOf({ state, why }) {
  return state === "rejected" ? why?.replace(/^rejected in review(: )?/, "") : why;
}

function reason({ code, text }) {
  const advice = has(`look_for.${code}`) ? t(`look_for.${code}`) : "";
  return el("li", {}, el("strong", {}, coded("reason", code, text)), advice ? el("p", {}, advice) : null);
}

/* A person's correction says more than the score of what the model made. */
function scoreOf({ score, corrected }) {
  if (corrected) return el("span", { class: "chip" }, t("review.corrected"));
  return score === null || score === undefined ? null : el("span", { class: "chip" }, t("review.score", { score: percent(score) }));
}
