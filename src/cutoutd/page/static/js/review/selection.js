/**
 * Which entries of a list are chosen, with a current one. Pure: touches no document and makes no request.
 *
 * Entries are named by their index. "All" is one flag and not 30,000 members.
 */

export class Selection {
  constructor(count = 0) {
    this.reset(count);
  }

  // A new list: nothing chosen, the first entry is current.
  reset(count) {
    this.count = count;
    this.current = count > 0 ? 0 : -1;
    this.anchor = this.current;
    this.all = false;
    this.chosen = new Set();
    this.range = new Set();
  }

  // More entries at the end.
  grow(count) {
    this.count = count;
    if (this.current < 0 && count > 0) this.current = this.anchor = 0;
  }

  has(index) {
    return this.all || this.chosen.has(index);
  }

  get size() {
    return this.all ? this.count : this.chosen.size;
  }

  // What an action is for: all that is chosen, else the current entry; ascending.
  targets() {
    if (this.all) return Array.from({ length: this.count }, (_, i) => i);
    if (this.chosen.size > 0) return [...this.chosen].sort((one, other) => one - other);
    return this.current < 0 ? [] : [this.current];
  }

  // A plain click or arrow key.
  go(index) {
    if (this.count === 0) return;
    this.current = this.anchor = this.#within(index);
    this.clear();
  }

  // Shift: from where the last plain or toggling choice was, up to here. What was chosen before that range stays.
  extend(index) {
    if (this.count === 0) return;
    this.#single();
    this.current = this.#within(index);
    for (const i of this.range) this.chosen.delete(i);
    this.range.clear();
    const [first, last] = [Math.min(this.anchor, this.current), Math.max(this.anchor, this.current)];
    for (let i = first; i <= last; i++) {
      this.chosen.add(i);
      this.range.add(i);
    }
  }

  // Ctrl or Cmd: adds this one or takes it away. The first one takes the current entry along.
  toggle(index) {
    if (this.count === 0) return;
    this.#single();
    const at = this.#within(index);
    if (this.chosen.size === 0 && this.current !== at && this.current >= 0) this.chosen.add(this.current);
    if (!this.chosen.delete(at)) this.chosen.add(at);
    this.range.clear();
    this.current = this.anchor = at;
  }

  chooseAll() {
    this.all = this.count > 0;
    this.chosen.clear();
    this.range.clear();
  }

  clear() {
    this.all = false;
    this.chosen.clear();
    this.range.clear();
  }

  #within(index) {
    return Math.min(Math.max(index, 0), this.count - 1);
  }

  // "All" becomes its members as soon as one of them is treated apart.
  #single() {
    if (!this.all) return;
    this.all = false;
    for (let i = 0; i < this.count; i++) this.chosen.add(i);
  }
}
