/** The question with which model a picture is cut again. */

import { read } from "./api.js";
import { el, plain } from "./dom.js";
import { toast } from "./live.js";
import { t } from "./text.js";

/** The name of a model, null if the person turns back or there is no other one. */
export async function chooseModel() {
  const { models = [], chosen = "" } = await read("models");
  const others = models.filter((one) => one !== chosen);
  if (others.length === 0) {
    toast(t("review.noOtherModel"));
    return null;
  }
  return new Promise((resolve) => {
    const select = el("select", { class: "select", id: "model" }, others.map((one) => el("option", { value: one }, plain(one))));
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
