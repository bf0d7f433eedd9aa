/** Cutting pictures again, also by another model, which is asked for. */

import { read, write } from "../core/api.js";
import { ask, choose } from "../core/dialogs.js";
import { el, plain } from "../core/dom.js";
import { fail, toast } from "../core/messages.js";
import { t } from "../core/text.js";

const MANY = 20; // for more than these, the person is asked first

/**
 * Has pictures cut again, by a model that the person chooses if `other`; the conflicts, or null if nothing was asked for. `items` are
 * pairs of a picture's number and the SHA-256 of the cutout that was shown.
 * `inTurn(run)` runs what is asked once the decisions before it are sent.
 */
export async function cutAgain(items, other, inTurn) {
  if (items.length === 0) return null;
  try {
    const model = other ? await chooseModel() : "";
    if (model === null) return null;
    if (items.length > MANY && !(await ask(t("review.againMany", { count: items.length })))) return null;
    const { done, conflicts = [] } = await inTurn(() => write("retry", model ? { items, model } : { items }));
    if (conflicts.length === 0) toast(t("review.againDone", { count: done ?? items.length }));
    return conflicts;
  } catch (error) {
    fail(error);
    return null;
  }
}

/** The name of a model, null if the person cancels or there is no other one. */
async function chooseModel() {
  const { models = [], chosen = "" } = await read("models");
  const others = models.filter((one) => one !== chosen);
  if (others.length === 0) {
    toast(t("review.noOtherModel"));
    return null;
  }
  const select = el("select", { class: "select", id: "model" }, others.map((one) => el("option", { value: one }, plain(one))));
  const answer = await choose(t("key.againWith"), [el("label", { class: "label", for: "model" }, t("review.model")), select], { yes: t("review.do.again") });
  return answer === "yes" ? select.value : null;
}
