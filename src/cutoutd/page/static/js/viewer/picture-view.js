/** The frame of a view with one large picture: a bar above it, what is said of it beside it, and perhaps a strip below. */

import { append, el } from "../core/dom.js";

/** Fills a view; `above` is between the bar and the picture, `instead` takes the picture's place. The element that holds the picture. */
export function drawPictureView(place, { bar, above = null, viewer, side, strip = null, instead = null, signal }) {
  place.classList.add("view-full", "picture-view");
  const body = el("div", { class: "picture-view-body" }, el("div", { class: "stage" }, viewer.element), side, strip);
  append(place, [el("div", { class: "picture-view-bar" }, bar), above, body, instead]);
  fillHeight(place, signal);
  return body;
}

/* The view has the height that is left of the window, also where a phone shows and hides its bars. */
function fillHeight(element, signal) {
  const set = () => {
    const below = Number.parseFloat(getComputedStyle(document.body).paddingBottom) || 0;
    element.style.height = `${Math.max(420, window.innerHeight - element.getBoundingClientRect().top - window.scrollY - below)}px`;
  };
  const watcher = new ResizeObserver(set);
  const notices = document.getElementById("notices");
  if (notices) watcher.observe(notices);
  window.addEventListener("resize", set, { signal });
  signal.addEventListener("abort", () => watcher.disconnect());
  set();
}
