/**
 * Small pictures are loaded when they come near the window, and a few at once: browsers have six connections to a host, for all
 * tabs together. One is for the events, and one stays free, so that no decision waits for a picture.
 *
 *   thumbnail(picture.thumb(job, "cutout", seen), { alt: "" })     an <img>
 */

import { el } from "../core/dom.js";

const AT_ONCE = 4; // including the tiles of a large picture, which come first
const waiting = new Set();
let running = 0;
let tiles = 0;

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) waiting.add(target);
      else waiting.delete(target);
    }
    next();
  },
  { rootMargin: "500px" },
);

/** An <img> that is loaded when it is its turn; one that has left the document by then is not loaded. */
export function thumbnail(address, props = {}) {
  const image = el("img", { alt: "", decoding: "async", ...props });
  image.address = address;
  image.addEventListener("error", () => image.classList.add("missing"));
  image.addEventListener("load", () => image.classList.remove("missing"));
  near.observe(image);
  return image;
}

/** Counts the tiles of a large picture that are being loaded: `change` is 1 or -1. */
export function countTiles(change) {
  tiles += change;
  if (change < 0) next();
}

function next() {
  for (const image of waiting) {
    if (running >= Math.max(1, AT_ONCE - tiles)) return;
    waiting.delete(image);
    near.unobserve(image);
    if (!image.isConnected) continue;
    running += 1;
    const end = () => {
      running -= 1;
      next();
    };
    image.addEventListener("load", end, { once: true });
    image.addEventListener("error", end, { once: true });
    image.src = image.address;
  }
}
