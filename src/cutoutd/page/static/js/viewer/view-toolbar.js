/** Buttons and keys for how the picture is shown, the same in Review and in Fix: before and after, wipe, backdrop, zoom. */

import { el, icon } from "../core/dom.js";
import { keyOf } from "../core/keyboard-shortcuts.js";
import { announce } from "../core/messages.js";
import { StoredValue } from "../core/stored-value.js";
import { t } from "../core/text.js";
import { BACKDROPS } from "./viewer.js";

const CHOSEN = new StoredValue(localStorage, "cutoutd-backdrop", {});
const DEFAULT = { name: "checker", colour: "#d8d2c8" };
const STEP = 80; // CSS pixels of an arrow key

export class ViewToolbar {
  constructor(viewer) {
    this.viewer = viewer;
    const kept = { ...DEFAULT, ...CHOSEN.load() };
    this.before = this.#button("compare", "compare");
    this.wipe = this.#button("wipe", "wipe");
    this.select = el(
      "select",
      { class: "select", "aria-label": t("look.backdrop"), title: `${t("look.backdrop")} (${keyOf("backdrop")})`, on: { change: () => this.setBackdrop(this.select.value) } },
      BACKDROPS.map((one) => el("option", { value: one }, t(`look.backdrop.${one}`))),
    );
    this.colour = el("input", { class: "colour", type: "color", value: kept.colour, "aria-label": t("look.colour"), on: { input: () => this.setBackdrop("colour") } });
    this.zoom = el("button", { class: "button zoom", title: `${t("key.zoom")} (${keyOf("zoom")})`, on: { click: (event) => this.#clicked(event, "zoom") } });
    this.element = el("div", { class: "view-toolbar", role: "toolbar", "aria-label": t("look.tools"), "data-own-arrows": false }, this.before, this.wipe, this.select, this.colour, this.zoom);
    viewer.addEventListener("place", () => this.#say());
    this.setBackdrop(BACKDROPS.includes(kept.name) ? kept.name : BACKDROPS[0]);
    this.#press();
  }

  /** For `bind`. */
  get actions() {
    return {
      compare: () => this.compare(),
      wipe: () => this.toggleWipe(),
      backdrop: () => this.next(),
      zoom: () => this.viewer.toggleZoom(),
    };
  }

  compare() {
    this.viewer.setWipe(null);
    this.viewer.setSide(this.viewer.side === "after" ? "before" : "after");
    this.#press();
    announce(t(`look.${this.viewer.side}`));
  }

  after() {
    this.viewer.setSide("after");
    this.#press();
  }

  toggleWipe() {
    this.viewer.setSide("after");
    this.viewer.setWipe(this.viewer.wipe === null ? 0.5 : null);
    this.#press();
    if (this.viewer.wipe !== null) announce(t("look.wipeOn"));
  }

  next() {
    const at = BACKDROPS.indexOf(this.viewer.backdrop);
    this.setBackdrop(BACKDROPS[(at + 1) % BACKDROPS.length]);
    announce(t(`look.backdrop.${this.viewer.backdrop}`));
  }

  setBackdrop(name) {
    this.viewer.setBackdrop(name, this.colour.value);
    this.select.value = name;
    this.colour.hidden = name !== "colour";
    CHOSEN.save({ name, colour: this.colour.value });
  }

  /** Moves a picture that is larger than the viewport by keys; true if it did. */
  pan(event) {
    const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way || !this.viewer.overflows) return false;
    this.viewer.pan(way[0] * STEP, way[1] * STEP);
    return true;
  }

  #button(action, sign) {
    const label = t(`look.${action}`);
    return el("button", { class: "button", title: `${label} (${keyOf(action)})`, "aria-label": label, "aria-pressed": "false", on: { click: (event) => this.#clicked(event, action) } }, icon(sign), el("span", {}, label));
  }

  #clicked(event, action) {
    this.actions[action]();
    if (event.detail > 0) this.viewer.element.focus({ preventScroll: true }); // a mouse's click leaves the keys to the picture
  }

  #press() {
    this.before.setAttribute("aria-pressed", String(this.viewer.side === "before"));
    this.wipe.setAttribute("aria-pressed", String(this.viewer.wipe !== null));
  }

  #say() {
    const text = `${this.viewer.percent} %`;
    if (this.zoom.textContent !== text) this.zoom.textContent = text;
    this.zoom.setAttribute("aria-label", t("look.zoom", { percent: text }));
  }
}
