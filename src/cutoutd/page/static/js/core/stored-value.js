/** A value that a browser keeps: in sessionStorage for as long as the tab lives, over a reload as well, in localStorage for all tabs. */

export class StoredValue {
  // `otherwise` is the value where nothing is kept.
  constructor(storage, key, otherwise = null) {
    Object.assign(this, { storage, key, otherwise });
  }

  load() {
    try {
      return JSON.parse(this.storage.getItem(this.key)) ?? this.otherwise;
    } catch {
      return this.otherwise;
    }
  }

  save(value) {
    try {
      this.storage.setItem(this.key, JSON.stringify(value));
    } catch {
      // Too much for the storage: the value is kept in this page alone.
    }
  }

  remove() {
    this.storage.removeItem(this.key);
  }
}
