/**
 * Small pictures that do not come, as while the machine is busy cutting, are asked for again: each time later, up to
 * every half a minute.
 */

const FIRST_MS = 2000;
const LONGEST_MS = 30_000;
const TIMES = 12; // four minutes: cutting goes first where the machine is busy

export function retryImages(target, wait = setTimeout) {
  const tries = new WeakMap();
  target.addEventListener(
    "error",
    ({ target: image }) => {
      const src = image.tagName === "IMG" ? image.getAttribute("src") : null;
      if (!src?.includes("/thumb?")) return;
      const known = tries.get(image);
      const done = known?.src === src ? known.done : 0;
      if (done >= TIMES) return;
      tries.set(image, { src, done: done + 1 });
      const again = () => {
        if (image.isConnected && image.getAttribute("src") === src) image.src = src;
      };
      wait(again, Math.min(LONGEST_MS, FIRST_MS * 2 ** done));
    },
    true,
  );
}
