/**
 * A small picture, and a word in its place for as long as it is not there: that it comes, that it comes later, or why it does not.
 */

import { el } from "../core/dom.js";
import { has, t } from "../core/text.js";
import { thumbnail } from "./thumbnail.js";

/** An <img> and its word, for a frame of the class `with-word`; `empty` is said of a picture on which nothing can be seen. */
export function waitingPicture(address, empty = "") {
  const word = el("span", { class: "picture-word small" }, t("picture.coming"));
  const image = thumbnail(address);
  image.asksWhy = true;
  image.addEventListener("load", () => {
    word.textContent = empty;
    word.hidden = !empty;
  });
  image.addEventListener("refused", ({ detail: code }) => {
    word.textContent = t(has(`picture.${code}`) ? `picture.${code}` : "picture.later");
  });
  return [image, word];
}
