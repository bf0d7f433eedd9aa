/**
 * What is said to the person beside the view: announcements for screen readers, short messages with an undo, questions.
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

/** A short message below; with `action` and `run` a button, such as Undo. The next one replaces it; it stays while the focus is on it. */
export function toast(text, { action = "", run = null, kind = "info", seconds = action ? 12 : 6 } = {}) {
  const place = document.getElementById("toasts");
  clearTimeout(current?.timer);
  const close = () => {
    clearTimeout(current?.timer);
    put(place);
  };
  const again = () => {
    clearTimeout(current?.timer);
    current = { timer: setTimeout(() => (place.matches(":hover, :focus-within") ? again() : close()), seconds * 1000) };
  };
  put(
    place,
    el(
      "div",
      { class: `toast ${kind}` },
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

/** Asks; true if the person says yes. */
export function ask(question, { yes = t("app.yes"), detail = "", danger = false } = {}) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": "ask-title", on: { close: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) } },
      el("h2", { id: "ask-title" }, question),
      detail ? el("p", {}, detail) : null,
      el(
        "div",
        { class: "dialog-actions" },
        el("button", { class: "button", on: { click: () => dialog.close("no") } }, t("app.cancel")),
        el("button", { class: danger ? "button danger" : "button primary", on: { click: () => dialog.close("yes") } }, yes),
      ),
    );
    showModal(dialog);
  });
}

/** Shows a dialog, which is closed without an answer when its view is left. */
export function showModal(dialog) {
  const leave = () => dialog.close("");
  window.addEventListener("hashchange", leave);
  dialog.addEventListener("close", () => window.removeEventListener("hashchange", leave));
  document.body.append(dialog);
  dialog.showModal();
}
