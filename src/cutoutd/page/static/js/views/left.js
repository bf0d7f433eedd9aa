/** The view "left". */

import { el, put } from "../dom.js";
import { t } from "../text.js";

export const title = "left.title";

export async function show(place) {
  put(place, el("h1", {}, t(title)));
}
