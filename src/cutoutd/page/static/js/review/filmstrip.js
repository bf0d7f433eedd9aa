/**
 * A row of thumbnails of which only those in sight are elements, so that 30,000 are usable. It says which one was picked, and decides
 * nothing. `describe(index)` gives `{thumb, label, marks: [{class, icon, text}], chosen}`, or null while nothing is known.
 */

import { thumbnail } from "../components/thumbnail.js";
import { el, icon, put } from "../core/dom.js";

const SPARE = 6; // entries to each side of the sight

export class Filmstrip extends EventTarget {
  // Events: "pick" with {index, event}, "visible" with {first, last}.
  constructor({ label, describe }) {
    super();
    this.describe = describe;
    this.count = 0;
    this.current = -1;
    this.entries = new Map();
    this.long = el("div", { class: "strip-long" });
    this.element = el(
      "div",
      {
        class: "strip",
        role: "listbox",
        tabindex: 0,
        "aria-label": label,
        "aria-multiselectable": "true",
        "aria-orientation": "horizontal",
        on: { scroll: () => this.update(), click: (event) => this.#click(event), contextmenu: (event) => this.#held(event), wheel: (event) => this.#wheel(event) },
      },
      this.long,
    );
    this.element.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // no selection of text
    this.watcher = new ResizeObserver(() => {
      this.#measure();
      this.update();
      this.reveal();
    });
    this.watcher.observe(this.element);
  }

  setCount(count) {
    this.count = count;
    for (const entry of this.entries.values()) entry.remove();
    this.entries.clear();
    this.#measure();
    this.update();
  }

  setCurrent(index) {
    this.current = index;
    this.reveal();
    this.refresh();
  }

  /** Brings the current entry into sight, with its neighbours. */
  reveal() {
    if (this.current < 0 || !this.pitch) return;
    const left = this.current * this.pitch;
    const { scrollLeft, clientWidth } = this.element;
    const room = Math.min(this.pitch, Math.max(0, (clientWidth - this.pitch) / 2));
    if (left - room < scrollLeft) this.element.scrollLeft = left - room;
    else if (left + this.pitch + room > scrollLeft + clientWidth) this.element.scrollLeft = left + this.pitch + room - clientWidth;
  }

  /** Draws entries that are there anew: something is known of them. */
  refresh() {
    for (const [index, entry] of this.entries) this.#fill(index, entry);
    this.element.setAttribute("aria-activedescendant", this.entries.has(this.current) ? `strip-${this.current}` : "");
    if (!this.entries.has(this.current)) this.element.removeAttribute("aria-activedescendant");
  }

  /** Draws what came into sight, before the next frame. */
  update() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      this.#draw();
    });
  }

  get visibleRange() {
    const pitch = this.pitch || 1;
    const first = Math.floor(this.element.scrollLeft / pitch);
    return { first, last: Math.min(this.count - 1, Math.ceil((this.element.scrollLeft + this.element.clientWidth) / pitch)) };
  }

  destroy() {
    cancelAnimationFrame(this.asked);
    this.watcher.disconnect();
  }

  #measure() {
    this.pitch = Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--strip-pitch")) || 112;
    this.long.style.width = `${this.count * this.pitch}px`;
  }

  #draw() {
    const { first, last } = this.visibleRange;
    const [from, to] = [Math.max(0, first - SPARE), Math.min(this.count - 1, last + SPARE)];
    for (const [index, entry] of this.entries) {
      if (index >= from && index <= to) continue;
      entry.remove();
      this.entries.delete(index);
    }
    for (let index = from; index <= to; index++) {
      if (this.entries.has(index)) continue;
      const entry = el("div", { class: "strip-entry", role: "option", id: `strip-${index}`, data: { index: String(index) } });
      entry.style.left = `${index * this.pitch}px`;
      this.entries.set(index, entry);
      this.#fill(index, entry);
      this.long.append(entry);
    }
    this.refresh();
    this.dispatchEvent(new CustomEvent("visible", { detail: { first: from, last: to } }));
  }

  #fill(index, entry) {
    const what = this.describe(index);
    entry.setAttribute("aria-posinset", String(index + 1));
    entry.setAttribute("aria-setsize", String(this.count));
    entry.setAttribute("aria-selected", String(Boolean(what?.chosen)));
    entry.setAttribute("aria-label", what?.label ?? `${index + 1}`);
    entry.classList.toggle("current", index === this.current);
    const state = JSON.stringify([what?.thumb, what?.marks]);
    if (entry.state === state) return;
    entry.state = state;
    if (!what) return put(entry);
    const image = thumbnail(what.thumb, { draggable: "false" });
    image.addEventListener("error", () => image.classList.add("gone"), { once: true });
    put(
      entry,
      image,
      el("span", { class: "strip-marks" }, what.marks.map((one) => el("span", { class: `strip-mark ${one.class}`, title: one.text }, icon(one.icon)))),
    );
  }

  #click(event) {
    const entry = event.target.closest(".strip-entry");
    if (entry) this.dispatchEvent(new CustomEvent("pick", { detail: { index: Number(entry.dataset.index), event } }));
  }

  // A finger that stays on an entry selects it, as Ctrl and a click do.
  #held(event) {
    const entry = event.target.closest(".strip-entry");
    if (!entry || event.pointerType !== "touch") return;
    event.preventDefault();
    this.dispatchEvent(new CustomEvent("pick", { detail: { index: Number(entry.dataset.index), event: { ctrlKey: true } } }));
  }

  // A wheel that only turns up and down moves the row along.
  #wheel(event) {
    if (event.deltaX !== 0 || event.ctrlKey) return;
    this.element.scrollLeft += event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 33 : event.deltaY;
    event.preventDefault();
  }
}
