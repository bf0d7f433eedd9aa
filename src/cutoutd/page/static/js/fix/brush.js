/**
 * The brush on a viewer: strokes from mouse, pen, touch and keyboard as vectors in pixels of the picture, drawn on canvases above the
 * tiles. Pressure is ignored: a stroke is as wide as the brush, whatever it is drawn with. Asks the backend for nothing.
 */

import { el } from "../core/dom.js";
import { isApart, toPicture, toViewport } from "../viewer/tile-geometry.js";
import { MattePreview, trace } from "./matte-preview.js";
import { firstRadius, simplified, stepRadius, within } from "./strokes.js";

const COLOURS = { keep: "#1f7bff", remove: "#ff7a1a", paint: "#b04cff" };
const SIGNS = { keep: "+", remove: "−", paint: "%" };
const TOLERANCE = 0.75; // CSS pixels by which a simplified stroke may differ from what was drawn
const STEP = 8; // CSS pixels of an arrow key
const FAR = 40; // with Shift
const EDGE = 24; // CSS pixels from the viewport's border where the picture follows the keyboard's cursor
const FADED = 0.3; // of strokes whose effect is on the preview

export class Brush extends EventTarget {
  // Events: "begin" before a stroke, "stroke" with it, "radius", "cursor" with the place of the keyboard's cursor in the picture.
  constructor(viewer) {
    super();
    this.viewer = viewer;
    this.kind = "keep";
    this.alpha = 1;
    this.radius = 10;
    this.strokes = [];
    this.current = null;
    this.cursor = null;
    this.enabled = false;
    this.isApart = false; // what is shown is laid out otherwise than the picture: nobody can aim on it
    this.preview = new MattePreview();
    this.composed = el("canvas", { class: "overlay", "aria-hidden": "true" });
    this.lines = el("canvas", { class: "overlay", "aria-hidden": "true" });
    this.ring = el("div", { class: "brush-ring", hidden: true, "aria-hidden": "true" });
    viewer.element.append(this.composed, this.lines, this.ring);
    viewer.pointerInput.tool = this;
    this.stop = new AbortController();
    const { signal } = this.stop;
    viewer.addEventListener("place", () => this.#place(), { signal });
    viewer.element.addEventListener("keydown", (event) => this.#key(event), { signal });
    viewer.element.addEventListener("blur", () => this.#hideCursor(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#place(), { signal });
  }

  destroy() {
    this.stop.abort();
    cancelAnimationFrame(this.asked);
    this.viewer.pointerInput.tool = null;
    for (const one of [this.composed, this.lines, this.ring]) one.remove();
  }

  /** Begins on a picture: `{width, height}` in pixels. */
  start(picture) {
    this.picture = picture;
    this.radius = firstRadius(picture);
    this.enabled = true;
  }

  setKind(kind) {
    this.kind = kind;
    this.#ringAt(this.hovered);
    this.update();
  }

  /** All strokes that are to be seen. `settled`: their effect is on the preview already. */
  setStrokes(strokes, settled = false) {
    this.strokes = strokes;
    this.settled = settled;
    this.update();
  }

  /** The matte that the backend made of the strokes; `later()` are those that were drawn since it was asked for. */
  async take(blob, later) {
    if (!(await this.preview.take(blob))) return; // a newer one is there
    const strokes = later();
    for (const stroke of strokes.filter(({ kind }) => kind === "paint")) {
      this.preview.paint(stroke, this.picture);
      this.preview.settle();
    }
    this.settled = strokes.length === 0;
    this.#stale();
  }

  /** Hides all that the brush draws, as when the result itself is shown, whose pyramids are given then. */
  setShown(shown, { source, cutout } = {}) {
    this.composed.hidden = this.lines.hidden = !shown;
    this.isApart = !shown && isApart(cutout, source);
    if (!shown) this.ring.hidden = true;
  }

  resize(steps) {
    if (!this.picture) return;
    this.radius = stepRadius(this.radius, steps, this.picture);
    this.#ringAt(this.hovered);
    this.dispatchEvent(new Event("radius"));
    this.update();
  }

  /** Draws the strokes before the next frame. */
  update() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      if (this.isStale) {
        if (this.current?.kind === "paint") this.preview.paint(this.current, this.picture);
        this.#compose();
      }
      this.#draw();
    });
  }

  // What a PointerInput asks of its tool.

  wants(event) {
    return this.enabled && event.isPrimary && event.button === 0;
  }

  begin(at) {
    const { isApart } = this;
    this.#hideCursor();
    this.dispatchEvent(new Event("begin"));
    if (isApart) return; // the picture is back, and can be aimed at
    this.current = this.#stroke([this.#point(at)]);
    this.update();
  }

  move(points) {
    if (!this.current) return;
    for (const at of points) this.current.points.push(this.#point(at));
    if (this.current.kind === "paint") this.#stale();
    this.update();
  }

  end() {
    const stroke = this.current;
    this.current = null;
    if (!stroke) return;
    const points = simplified(stroke.points, TOLERANCE / this.viewer.place.scale);
    const clicked = points.every(([x, y]) => Math.hypot(x - points[0][0], y - points[0][1]) * this.viewer.place.scale < 2);
    const done = { ...stroke, points: clicked ? [points[0]] : points, radius: Math.round(stroke.radius * 10) / 10 };
    if (done.kind === "paint") {
      this.preview.paint(done, this.picture);
      this.preview.settle();
      this.#stale();
    }
    this.update();
    this.dispatchEvent(new CustomEvent("stroke", { detail: done }));
  }

  cancel() {
    if (this.current?.kind === "paint") {
      this.preview.paint(null, this.picture);
      this.#stale();
    }
    this.current = null;
    this.update();
  }

  hover(at) {
    this.hovered = at;
    this.#ringAt(at);
  }

  wheel(steps) {
    if (!this.enabled) return false;
    this.resize(steps);
    return true;
  }

  #stroke(points) {
    return { kind: this.kind, points, radius: this.radius, ...(this.kind === "paint" ? { alpha: this.alpha } : {}) };
  }

  #point(at) {
    return within(toPicture(this.viewer.place, at), this.picture);
  }

  // The matte has changed: it is laid over the picture anew with the next frame.
  #stale() {
    this.isStale = true;
    this.update();
  }

  // The keyboard's cursor: arrows move it, Enter sets a click, Shift and Enter begin a line that Enter ends.
  #key(event) {
    if (!this.enabled || event.target !== this.viewer.element || event.ctrlKey || event.altKey || event.metaKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if ((way || event.key === "Enter") && this.lines.hidden) {
      this.dispatchEvent(new Event("begin"));
      this.#moveCursor([0, 0]); // nobody has seen where it is
    } else if (way) this.#moveCursor(way.map((one) => one * (event.shiftKey ? FAR : STEP)));
    else if (event.key === "Enter" && this.cursor) this.#enter(event.shiftKey);
    else if (event.key === "Enter") this.#moveCursor([0, 0]); // the first one says where it is
    else if (event.key === "Escape" && this.current) this.cancel();
    else return;
    event.preventDefault();
  }

  #moveCursor([dx, dy]) {
    const { viewer } = this;
    const from = this.cursor ? toViewport(viewer.place, this.cursor) : viewer.middle;
    const to = this.cursor ? { x: from.x + dx, y: from.y + dy } : from;
    this.cursor = this.#point(to);
    if (this.current) this.move([to]);
    const { width, height } = viewer.viewport;
    const beyond = (value, room) => Math.min(0, room - EDGE - value) || Math.max(0, EDGE - value);
    const [px, py] = [beyond(to.x, width), beyond(to.y, height)];
    if (viewer.overflows && (px || py)) viewer.pan(px, py);
    this.ring.hidden = true;
    this.update();
    this.dispatchEvent(new CustomEvent("cursor", { detail: this.cursor }));
  }

  #enter(line) {
    if (this.current) return this.end();
    this.dispatchEvent(new Event("begin"));
    this.current = this.#stroke([this.cursor]);
    if (!line) this.end();
    this.update();
  }

  #hideCursor() {
    if (!this.cursor) return;
    if (this.current) this.cancel();
    this.cursor = null;
    this.update();
  }

  #ringAt(at) {
    this.ring.hidden = !at || !this.enabled || this.isApart;
    if (this.ring.hidden) return;
    const side = Math.max(6, this.radius * 2 * this.viewer.place.scale);
    this.ring.style.width = this.ring.style.height = `${side}px`;
    this.ring.style.transform = `translate(${at.x - side / 2}px, ${at.y - side / 2}px)`;
    this.ring.dataset.sign = SIGNS[this.kind];
    this.ring.dataset.kind = this.kind;
  }

  // The picture lies elsewhere, or is shown otherwise.
  #place() {
    if (!this.picture) return;
    this.#compose();
    this.#ringAt(this.hovered);
    this.#draw();
  }

  #compose() {
    this.isStale = false;
    if (!this.viewer.backdropBox) return;
    const context = this.#clear(this.composed);
    const { side, wipe, viewport, backdrop, colour } = this.viewer;
    if (side !== "before" || wipe !== null) {
      const from = wipe === null ? 0 : wipe * viewport.width;
      this.preview.draw(context, this.viewer.backdropBox, { backdrop, colour, from });
    }
  }

  #draw() {
    if (!this.picture) return;
    const context = this.#clear(this.lines);
    const { scale, x, y } = this.viewer.place;
    context.save();
    context.translate(x, y);
    context.scale(scale, scale);
    for (const stroke of this.strokes) this.#line(context, stroke, this.settled ? FADED : 0.6, this.settled);
    if (this.current) this.#line(context, this.current, this.current.kind === "paint" ? 0.25 : 0.6, false);
    context.restore();
    if (this.cursor) this.#drawCursor(context);
  }

  // A stroke whose effect is to be seen is its middle line alone.
  #line(context, stroke, opacity, thin) {
    const pixel = 1 / this.viewer.place.scale;
    context.globalAlpha = opacity;
    if (!thin) return trace(context, stroke, COLOURS[stroke.kind]);
    context.globalAlpha = 0.9;
    trace(context, stroke, "#000", 4 * pixel);
    trace(context, stroke, COLOURS[stroke.kind], 2.5 * pixel);
  }

  #drawCursor(context) {
    const at = toViewport(this.viewer.place, this.cursor);
    const radius = Math.max(3, this.radius * this.viewer.place.scale);
    for (const [colour, width] of [
      ["#000", 5],
      ["#fff", 2.5],
    ]) {
      context.globalAlpha = 1;
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(at.x, at.y, radius, 0, Math.PI * 2);
      context.moveTo(at.x - 7, at.y);
      context.lineTo(at.x + 7, at.y);
      if (this.kind !== "remove") {
        context.moveTo(at.x, at.y - 7);
        context.lineTo(at.x, at.y + 7);
      }
      context.stroke();
    }
  }

  #clear(canvas) {
    const { viewport, ratio } = this.viewer;
    const [width, height] = [Math.round(viewport.width * ratio), Math.round(viewport.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  }
}
