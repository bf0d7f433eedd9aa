/** The view "failures". */

import { el, put } from "../dom.js";
import { t } from "../text.js";

export const title = "failures.title";

export async function show(place) {
  put(place, el("h1", {}, t(title)));
}
