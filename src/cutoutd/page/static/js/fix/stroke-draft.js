/** Strokes that are not saved, kept for as long as the tab lives, over a reload as well. Pure but for the storage that it is given. */

export class StrokeDraft {
  constructor(storage, job) {
    this.storage = storage;
    this.key = `cutoutd-strokes-${job}`;
  }

  /** Keeps strokes over a cutout, by the SHA-256 of what was seen. */
  keep(seen, strokes) {
    try {
      this.storage.setItem(this.key, JSON.stringify({ seen, strokes }));
    } catch {
      // Too much for the storage: they are kept in this page alone.
    }
  }

  drop() {
    this.storage.removeItem(this.key);
  }

  /** The strokes that go on from `earlier`, if they were drawn over the same cutout; else none. */
  after(seen, earlier) {
    try {
      const kept = JSON.parse(this.storage.getItem(this.key));
      const goesOn = JSON.stringify(kept.strokes.slice(0, earlier.length)) === JSON.stringify(earlier);
      return kept.seen === seen && goesOn ? kept.strokes.slice(earlier.length) : [];
    } catch {
      return [];
    }
  }
}
