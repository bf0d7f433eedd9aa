/** Strokes that are not saved, kept for as long as the tab lives, over a reload as well. Pure but for the storage that it is given. */

import { StoredValue } from "../core/stored-value.js";

export class StrokeDraft {
  #stored;

  constructor(storage, job) {
    this.#stored = new StoredValue(storage, `cutoutd-strokes-${job}`);
  }

  /** Keeps strokes over a cutout, by the SHA-256 of what was seen, and which suggestion for them was shown. */
  keep(seen, { strokes, suggestion }) {
    this.#stored.save({ seen, strokes, suggestion });
  }

  drop() {
    this.#stored.remove();
  }

  /** The strokes that go on from `earlier`, and the suggestion for all of them, if they were drawn over the same cutout; else none and null. */
  after(seen, earlier) {
    const kept = this.#stored.load();
    const goesOn = kept?.seen === seen && JSON.stringify(kept.strokes.slice(0, earlier.length)) === JSON.stringify(earlier);
    return goesOn ? { strokes: kept.strokes.slice(earlier.length), suggestion: kept.suggestion ?? 0 } : { strokes: [], suggestion: null };
  }
}
