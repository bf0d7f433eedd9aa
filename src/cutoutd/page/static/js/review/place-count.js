/** Where in the list one is, and how many decisions are not sent: said at each change, once. */

import { el, icon, redraw } from "../core/dom.js";
import { t } from "../core/text.js";

export class PlaceCount {
  constructor() {
    this.element = el("span", { class: "review-count", role: "status" });
  }

  /** `at` counts from 0; `total` 0: there is no list. */
  draw(at, total, unsent) {
    const place = total === 0 ? "" : t("review.place", { at: at + 1, total });
    const waiting = () => [el("span", { class: "visually-hidden" }, ". "), el("span", { class: "chip warn" }, icon("clock"), t("review.unsentCount", { count: unsent }))];
    redraw(this.element, [place, unsent], () => [place, unsent > 0 ? waiting() : null]);
  }
}
