/**
 * Small pictures that do not come, as while the machine is busy cutting, are asked for again: each time later, up to
 * every half a minute. An <img> with `asksWhy` gets the reason by the event "refused"; if its picture is gone, it is not asked for again.
 */

import { whyNot } from "../core/api.js";

const FIRST_MS = 2000;
const LONGEST_MS = 30_000;
const TIMES = 12; // four minutes: cutting goes first where the machine is busy
const NOT_FOUND = 404;

export function retryImages(target, { wait = setTimeout, why = whyNot } = {}) {
  const tries = new WeakMap();
  target.addEventListener(
    "error",
    async ({ target: image }) => {
      const src = image.tagName === "IMG" ? image.getAttribute("src") : null;
      if (!src?.includes("/thumb?")) return;
      const known = tries.get(image);
      const done = known?.src === src ? known.done : 0;
      tries.set(image, { src, done: done + 1 });
      const refused = image.asksWhy ? await why(src) : undefined;
      const isMeant = () => image.isConnected && image.getAttribute("src") === src;
      if (refused && isMeant()) image.dispatchEvent(new CustomEvent("refused", { detail: refused.code }));
      if (done >= TIMES || refused?.status === NOT_FOUND) return;
      const again = () => {
        if (isMeant()) image.src = src;
      };
      wait(again, refused === null ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** done));
    },
    true,
  );
}
