/**
 * What Fix says of strokes that were saved, in words: what has become of them, or what they wait for. Draws nothing.
 */

import { t } from "../core/text.js";

/** `isApart`: the result is laid out otherwise than the picture, so nobody can draw on it. */
export function resultNote(job, { undone, isApart }) {
  if (undone) return t("fix.former");
  if (job.state === "review") return t("fix.heldBack");
  return t(isApart ? "fix.publishedApart" : "fix.published");
}

/** Why nobody cuts a picture of this folder now; empty where it is cut. */
export function laterNote(overview, folder) {
  if (!overview) return "";
  if (!overview.running) return t("fix.later");
  if (overview.paused) return t("fix.laterPaused");
  const { watching } = overview.folders.find((one) => one.name === folder) ?? {};
  return ["standing by", "paused"].includes(watching) ? t("fix.laterAway") : "";
}
