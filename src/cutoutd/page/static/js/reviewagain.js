/** The question with which model a picture is cut again. */

import { read } from "./api.js";
import { el } from "./dom.js";
import { t } from "./text.js";

/** The name of a model, "" for the folder's own, null if the person turns back. */
export async function chooseModel() {
  const { models = [] } = await read("models").catch(() => ({}));
  const entries = models.map((one) => (typeof one === "string" ? { name: one } : one));
  return new Promise((resolve) => {
    const select = el(
      "select",
      { class: "select", id: "model" },
      el("option", { value: "" }, t("review.ownModel")),
      entries.map((one) => el("option", { value: one.name }, one.title ? `${one.name} (${one.title})` : one.name)),
    );
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": "model-title", on: { close: () => (dialog.remove(), resolve(dialog.returnValue === "yes" ? select.value : null)) } },
      el("h2", { id: "model-title" }, t("key.againWith")),
      el("label", { class: "label", for: "model" }, t("review.model")),
      select,
      el(
        "div",
        { class: "dialog-actions" },
        el("button", { class: "button", on: { click: () => dialog.close("no") } }, t("app.cancel")),
        el("button", { class: "button primary", on: { click: () => dialog.close("yes") } }, t("review.do.again")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
