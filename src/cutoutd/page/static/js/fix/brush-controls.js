/**
 * Kind, size and strength of the brush in Fix, as keys and the panel set them, and where the keyboard's cursor is, in words. Knows no
 * strokes.
 */

import { listen } from "../core/dom.js";
import { announce } from "../core/messages.js";
import { t } from "../core/text.js";

const SAY_MS = 600; // the keyboard's cursor is said when it rests

export class BrushControls {
  constructor(brush, panel, signal) {
    Object.assign(this, { brush, panel });
    listen(brush, "radius", () => this.draw(), signal);
    listen(brush, "cursor", (at) => this.#sayCursor(at), signal);
    signal.addEventListener("abort", () => clearTimeout(this.saying));
  }

  setKind(kind) {
    this.brush.setKind(kind);
    this.draw();
    announce(t(`fix.hint.${kind}`));
  }

  /** `part` is from 0, one pixel, to 1, the largest brush. */
  setSize(part) {
    if (!this.brush.picture) return;
    this.brush.radius = this.#largest ** part;
    this.brush.resize(0);
  }

  setAlpha(alpha) {
    this.brush.alpha = alpha;
    this.draw();
  }

  draw() {
    if (this.brush.picture) this.panel.drawBrush(this.brush, this.#largest);
  }

  get #largest() {
    return Math.max(this.brush.picture.width, this.brush.picture.height) / 4;
  }

  #sayCursor([x, y]) {
    clearTimeout(this.saying);
    const { width, height } = this.brush.picture;
    const part = (value, of) => Math.round((value / of) * 100);
    this.saying = setTimeout(() => announce(t("fix.cursor", { x: part(x, width), y: part(y, height) })), SAY_MS);
  }
}
