/**
 * What is said to the person beside the view: announcements for screen readers, and short messages with an undo.
 */

import { el, icon, put } from "./dom.js";
import { errorText, t } from "./text.js";

/** Says something to a screen reader alone. */
export function announce(text, { urgent = false } = {}) {
  const place = document.getElementById(urgent ? "alerts" : "live");
  if (!place) return;
  place.textContent = "";
  requestAnimationFrame(() => {
    place.textContent = text;
  });
}

let current = null;

/**
 * A short message below; with `action` and `run` a button, such as Undo. The next one replaces it; it stays while the focus is on it,
 * and while the pointer is that came to it: one that rested there before, as after a click, does not keep it.
 */
export function toast(text, { action = "", run = null, kind = "info", seconds = action ? 12 : 6 } = {}) {
  const place = document.getElementById("toasts");
  clearTimeout(current?.timer);
  let pointerCame = false;
  const moved = ({ movementX, movementY }) => {
    pointerCame ||= movementX !== 0 || movementY !== 0;
  };
  const left = () => {
    pointerCame = false;
  };
  const close = () => {
    clearTimeout(current?.timer);
    put(place);
  };
  const again = () => {
    clearTimeout(current?.timer);
    current = { timer: setTimeout(() => (pointerCame || place.matches(":focus-within") ? again() : close()), seconds * 1000) };
  };
  put(
    place,
    el(
      "div",
      { class: `toast ${kind}`, on: { pointermove: moved, pointerleave: left } },
      el("p", {}, text),
      action ? el("button", { class: "button quiet", on: { click: () => (close(), run()) } }, action) : null,
      el("button", { class: "button icon-only quiet", "aria-label": t("app.dismiss"), on: { click: close } }, icon("cross")),
    ),
  );
  announce(text, { urgent: kind === "bad" });
  again();
  return close;
}

/** Says what went wrong; an aborted request is nothing. */
export function fail(error) {
  if (error?.name === "AbortError") return;
  if (!error?.code) console.error(error);
  toast(errorText(error), { kind: "bad", seconds: 12 });
}
