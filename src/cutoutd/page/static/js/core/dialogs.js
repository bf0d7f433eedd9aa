/** Questions to the person, and whatever else lies over the view until it is closed. */

import { el } from "./dom.js";
import { t } from "./text.js";

/** Asks; true if the person says yes. */
export async function ask(question, { yes = t("app.yes"), detail = "", danger = false } = {}) {
  return (await choose(question, detail ? el("p", {}, detail) : null, { yes, kind: danger ? "danger" : "primary" })) === "yes";
}

/** Shows something to be chosen or confirmed; resolves to "yes", "no", or "" if its view is left. */
export function choose(title, content, { yes, kind = "primary" }) {
  const button = (text, answer, look) => el("button", { class: `button ${look}`.trim(), on: { click: () => dialog.close(answer) } }, text);
  const dialog = dialogOf(title, content, [button(t("app.cancel"), "no", ""), button(yes, "yes", kind)]);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue));
    showModal(dialog);
  });
}

/** Shows something to be read, until it is closed. */
export function showInformation(title, content) {
  const close = el("button", { class: "button primary", on: { click: () => dialog.close() } }, t("app.close"));
  const dialog = dialogOf(title, content, [close], "dialog dialog-wide");
  dialog.firstElementChild.setAttribute("tabindex", "-1");
  dialog.firstElementChild.setAttribute("autofocus", "");
  showModal(dialog);
}

function dialogOf(title, content, buttons, kind = "dialog") {
  return el("dialog", { class: kind, "aria-labelledby": "dialog-title" }, el("h2", { id: "dialog-title" }, title), content, el("div", { class: "dialog-actions" }, buttons));
}

/* It is closed without an answer when its view is left. */
function showModal(dialog) {
  const leave = () => dialog.close("");
  window.addEventListener("hashchange", leave);
  dialog.addEventListener("close", () => {
    window.removeEventListener("hashchange", leave);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
