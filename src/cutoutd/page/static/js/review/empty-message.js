/** What Review says where it has nothing to show. */

import { el, icon, put } from "../core/dom.js";
import { t } from "../core/text.js";

/** `kind` is "never", "nothing", "noMatch" or "trouble"; `done` how many cutouts there are; `act(action)` does what a button says. */
export function drawEmptyMessage(place, kind, { done, detail = "", act }) {
  const button = (action, text) => el("button", { class: "button primary", on: { click: () => act(action) } }, text);
  const next = {
    never: () => el("a", { class: "button primary", href: "#/inbox" }, t("inbox.title")),
    nothing: () => button("showAll", t("review.showAll", { count: done })),
    noMatch: () => button("reset", t("review.filter.reset")),
    trouble: () => button("again", t("app.tryAgain")),
  };
  put(
    place,
    el(
      "div",
      { class: "empty" },
      icon(kind === "nothing" ? "check" : "review"),
      el("h2", {}, t(`review.empty.${kind}`)),
      el("p", { class: "secondary" }, detail || t(`review.empty.${kind}How`, { count: done })),
      next[kind](),
    ),
  );
}
