/**
 * Loads tiles as <img> elements, decoded where they are in sight: those in sight before those ahead, a few at once, and no more kept than
 * a bound. Places nothing on the page.
 */

import { countTiles } from "../components/thumbnail.js";

const AT_ONCE = 3; // of the six connections that HTTP/1.1 has to a host: see thumbnail.js
const AHEAD_AT_ONCE = 2;
const SPARE = 48; // elements beside what is in sight or fetched ahead; 256 x 256 pixels are 0.25 MB while the browser holds them decoded
const RETRY_MS = [500, 2000]; // after an error: a worker may be busy, a share slow
const DECODE_MS = 1000; // a browser that draws no frames for a while does not say that a picture is decoded

export class TileLoader {
  constructor() {
    this.entries = new Map(); // by address, least recently used first
    this.running = 0;
    this.aheadCount = 0;
  }

  // The decoded element, if it is there already.
  ready(url) {
    const entry = this.entries.get(url);
    return entry?.state === "ready" ? entry.image : null;
  }

  // Calls `done(image)` once, or `failed()`; both never within this call.
  load(url, done, failed = () => {}) {
    const entry = this.#entry(url);
    entry.wanted = true;
    if (entry.state === "ready") queueMicrotask(() => done(entry.image));
    else entry.waiting.push({ done, failed });
    if (entry.state === "failed") this.#again(entry);
    this.#next();
  }

  // Fetches ahead, after everything that is in sight. Replaces what was to be fetched ahead before.
  ahead(urls) {
    const next = new Set(urls);
    this.aheadCount = next.size;
    for (const [url, entry] of this.entries) {
      if (entry.state === "idle" && !entry.wanted && !next.has(url)) this.entries.delete(url);
    }
    for (const url of next) this.#entry(url);
    this.#next();
  }

  // What is no longer in sight: not begun ones are forgotten, begun ones come to an end (they are small).
  drop(url) {
    const entry = this.entries.get(url);
    if (!entry) return;
    entry.wanted = false;
    entry.waiting = [];
    if (entry.state === "idle") this.entries.delete(url);
  }

  clear() {
    for (const entry of this.entries.values()) {
      clearTimeout(entry.timer);
      entry.waiting = [];
      entry.gone = true;
    }
    this.entries.clear();
  }

  #entry(url) {
    let entry = this.entries.get(url);
    if (entry) this.entries.delete(url);
    else entry = { url, state: "idle", wanted: false, waiting: [], tries: 0 };
    this.entries.set(url, entry);
    return entry;
  }

  #next() {
    let free = AT_ONCE - this.running;
    if (free <= 0) return;
    const idle = [...this.entries.values()].filter((entry) => entry.state === "idle");
    for (const entry of idle.filter((one) => one.wanted)) if (free-- > 0) this.#begin(entry);
    for (const entry of idle.filter((one) => !one.wanted)) {
      if (this.running < AHEAD_AT_ONCE) this.#begin(entry);
    }
    this.#forget();
  }

  async #begin(entry) {
    entry.state = "loading";
    this.running++;
    countTiles(1);
    const image = new Image();
    image.draggable = false;
    image.alt = "";
    image.src = entry.url;
    try {
      await loaded(image);
      // What is fetched ahead is decoded with the frame that shows it: decoded pictures that nobody looks at would fill the memory.
      if (entry.wanted) await Promise.race([image.decode(), after(DECODE_MS)]);
      else image.decoding = "sync";
      entry.image = image;
      entry.state = "ready";
      for (const { done } of entry.waiting.splice(0)) done(image);
    } catch {
      this.#failed(entry);
    }
    this.running--;
    countTiles(-1);
    this.#next();
  }

  #failed(entry) {
    entry.state = "failed";
    const delay = RETRY_MS[entry.tries++];
    if (delay !== undefined && entry.wanted && !entry.gone) {
      entry.timer = setTimeout(() => {
        this.#again(entry);
        this.#next();
      }, delay);
    } else for (const { failed } of entry.waiting.splice(0)) failed();
  }

  #again(entry) {
    clearTimeout(entry.timer);
    if (entry.state === "failed") entry.state = "idle";
  }

  #forget() {
    let wanted = 0;
    for (const entry of this.entries.values()) if (entry.wanted) wanted++;
    const most = wanted + this.aheadCount + SPARE;
    for (const [url, entry] of this.entries) {
      if (this.entries.size <= most) return;
      if (entry.state === "ready" && !entry.wanted) this.entries.delete(url);
    }
  }
}

function after(delay) {
  return new Promise((resolve) => setTimeout(resolve, delay));
}

function loaded(image) {
  return new Promise((resolve, reject) => {
    image.addEventListener("load", resolve, { once: true });
    image.addEventListener("error", reject, { once: true });
  });
}
