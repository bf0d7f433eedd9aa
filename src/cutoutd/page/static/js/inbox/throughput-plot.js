/** An hour's throughput as bars, one a minute. Draws numbers; asks nobody. */

import { el, svg } from "../core/dom.js";
import { number, t } from "../core/text.js";

const WIDTH = 600;
const HEIGHT = 96;

/** The next number that an axis may end at: 1, 2 or 5 times a power of ten, or 10. */
function axisEnd(most) {
  if (most <= 5) return 5;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= most);
}

/** `minutes` and `failed`: 60 counts each, the oldest first. */
export function throughputPlot({ minutes, failed }) {
  const total = minutes.reduce((sum, one) => sum + one, 0);
  const lost = failed.reduce((sum, one) => sum + one, 0);
  const end = axisEnd(Math.max(...minutes.map((one, i) => one + failed[i])));
  const step = WIDTH / minutes.length;
  const bar = (count, below, i, kind) =>
    count > 0
      ? svg("rect", { class: `bar-${kind}`, x: i * step + 1, width: step - 2, y: HEIGHT - ((count + below) / end) * HEIGHT, height: Math.max(1.5, (count / end) * HEIGHT), rx: 1.5 })
      : null;
  return el(
    "figure",
    { class: "plot" },
    el(
      "figcaption",
      { class: "plot-head" },
      el("span", { class: "plot-title" }, t("inbox.hour")),
      el("span", { class: "secondary small" }, t("inbox.hourSum", { count: total }), lost ? `, ${t("inbox.hourFailed", { count: lost })}` : ""),
    ),
    el(
      "div",
      { class: "plot-area" },
      el("span", { class: "plot-axis small", "aria-hidden": "true" }, number(end)),
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": t("inbox.hourLabel", { count: total, most: Math.max(...minutes), failed: lost }) },
        svg("path", { class: "plot-grid", d: `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }),
        failed.map((count, i) => bar(count, 0, i, "bad")),
        minutes.map((count, i) => bar(count, failed[i], i, "good")),
      ),
    ),
    el("div", { class: "plot-foot secondary small", "aria-hidden": "true" }, el("span", {}, t("inbox.hourAgo")), el("span", {}, t("time.now"))),
  );
}
