/** A picture of the list in words and marks: its state, what was decided, the reasons for a doubt. Shows nothing itself. */

import { plain } from "../core/dom.js";
import { coded, t } from "../core/text.js";
import { thumbOf } from "./large-picture.js";

const BADGES = { accept: ["good", "check"], reject: ["bad", "cross"], retry: ["", "again"], hold: ["", "undo"], undecided: ["", "undo"], fix: ["", "brush"] };

/** The state that a person knows: a published doubtful one is "doubtful". */
export function stateOf(job) {
  return job.doubtful && job.state === "done" ? "doubtful" : job.state;
}

/** What was decided, here or elsewhere: `{verb, state, text}` or null. */
export function decisionOf(job, mark) {
  if (mark) return mark;
  return job?.decision ? { verb: job.decision, state: "kept" } : null;
}

/** The decision that is shown and would be replaced by another one: "accept", "reject" or "". */
export function decisionInForce(job, mark) {
  const verb = mark && mark.state !== "conflict" ? mark.verb : job?.decision;
  if (verb) return verb === "accept" || verb === "reject" ? verb : "";
  if (job?.state === "rejected") return "reject";
  return job?.state === "done" && !job.doubtful ? "accept" : "";
}

/** For those who do not see it. */
export function labelOf(job, mark) {
  const decision = decisionOf(job, mark);
  const said = decision && coded("review.decided", decision.verb);
  const why = job.doubtful ? job.reasons.map(({ code, text }) => coded("reason", code, text)) : [];
  return [plain(job.name), coded("review.state", stateOf(job)), ...why, said].filter(Boolean).join(", ");
}

/** For a Filmstrip. */
export function entryOf(job, mark) {
  return { thumb: thumbOf(job), label: labelOf(job, mark), marks: marksOf(job, decisionOf(job, mark)) };
}

function marksOf(job, decision) {
  if (decision?.state === "conflict") return [{ class: "warn", icon: "warn", text: t("review.conflict") }];
  if (!decision) return stateOf(job) === "rejected" ? [{ class: "bad", icon: "cross", text: t("review.state.rejected") }] : [];
  const [kind, sign] = BADGES[decision.verb] ?? ["", "check"];
  const marks = [{ class: kind, icon: sign, text: coded("review.decided", decision.verb) }];
  if (decision.state === "unsent") marks.push({ class: "warn", icon: "clock", text: t("review.unsent") });
  return marks;
}
