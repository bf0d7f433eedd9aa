/**
 * Image pyramids: the size of a picture, of its tiles and the number of its levels, as the backend tells them, for the source, the cutout
 * and the matte of a job; kept for as long as their version is the same.
 */

import { picture, read } from "../core/api.js";

const KEPT = 400;

export class PyramidCache {
  constructor(ask = (job, kind) => read("look", { job, kind })) {
    this.ask = ask;
    this.known = new Map();
    this.asked = new Map();
  }

  /** What is known of a picture, for a Viewer; the same object until its version is another. */
  of({ job, seen }) {
    const key = `${job} ${seen}`;
    let entry = this.known.get(key);
    if (entry) return entry;
    const pyramids = {};
    const address = (kind, { level, x, y }) => picture.tile(job, kind, level, x, y, pyramids[kind].version);
    entry = { key, pyramids, address, failed: {} };
    this.known.set(key, entry);
    if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
    return entry;
  }

  /** Asks for what is missing of these kinds; resolves when all have come or failed, to what `of` gives. */
  async need(one, kinds) {
    const entry = this.of(one);
    await Promise.all(kinds.map((kind) => this.#one(one.job, kind, entry)));
    return entry;
  }

  #one(job, kind, entry) {
    if (entry.pyramids[kind]) return null;
    const key = `${entry.key} ${kind}`;
    let asking = this.asked.get(key);
    if (!asking) {
      asking = this.ask(job, kind)
        .then((pyramid) => {
          entry.pyramids[kind] = pyramid;
          delete entry.failed[kind];
        })
        .catch((error) => {
          entry.failed[kind] = error;
        })
        .finally(() => this.asked.delete(key));
      this.asked.set(key, asking);
    }
    return asking;
  }
}
