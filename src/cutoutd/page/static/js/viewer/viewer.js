/**
 * Shows one picture: before, after, or both beside a wipe; on a backdrop; at any scale. It draws when something changes,
 * once a frame, and asks the backend for nothing but tiles. It knows no jobs, no decisions and no texts.
 */

import { PointerInput } from "./pointer-input.js";
import { boundsOf, fitted, held, layoutOf, movedTo, scaleWithin, zoomed } from "./tile-geometry.js";
import { TileLayer } from "./tile-layer.js";

export const BACKDROPS = ["checker", "white", "black", "grey", "colour", "matte"];
const STEP = 1.25;

export class Viewer extends EventTarget {
  // Events: "place" after each frame in which the picture lies elsewhere, "shown" when all tiles in sight are there,
  // "failed" with the address of a tile that did not come, "kinds" when others of source, cutout and matte may be in sight,
  // "swipe" with 1 or -1.
  constructor(loader, { label, wipeLabel }) {
    super();
    this.loader = loader;
    this.layers = new Map();
    this.picture = null;
    this.side = "after";
    this.backdrop = "checker";
    this.colour = "#b5b5b5";
    this.wipe = null;
    this.composed = false;
    this.layout = null; // what `place` is for
    this.fits = true;
    this.place = { scale: 1, x: 0, y: 0 };
    this.viewport = { width: 1, height: 1 };
    this.#build(label, wipeLabel);
    this.pointerInput = new PointerInput(this);
    this.watcher = new ResizeObserver(() => this.#resized());
    this.watcher.observe(this.element);
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  get frame() {
    return this.picture && layoutOf(this.picture, this.#isSourceAlone).frame;
  }

  /** The cutout is drawn above the source by other code, such as a brush. */
  get composes() {
    return this.composed;
  }

  set composes(does) {
    this.composed = does;
    this.#lay();
  }

  /** Resolves when all tiles in sight are there, after so many milliseconds at the latest. */
  whenShown(most) {
    return new Promise((resolve) => {
      this.addEventListener("shown", resolve, { once: true });
      setTimeout(resolve, most);
    });
  }

  // `picture` is `{pyramids: {source, cutout, matte}, address(kind, tile), sourceOnly}`; those of `pyramids` that are not known yet may be
  // missing. `sourceOnly`: there is no cutout to show. `frame` is the size of the picture where it is known before
  // the source is. `stay` keeps place and scale: the same picture in a new version.
  show(picture, { stay = false } = {}) {
    for (const layer of this.layers.values()) layer.remove();
    this.layers.clear();
    this.picture = picture;
    if (!stay || !this.#known) this.fits = true;
    this.#lay();
    this.#arrange();
    this.update();
  }

  clear() {
    this.show(null);
  }

  setSide(side) {
    this.side = side;
    this.update();
    this.dispatchEvent(new Event("kinds"));
  }

  setBackdrop(name, colour = null) {
    this.backdrop = name;
    this.colour = colour ?? this.colour;
    this.backdropElement.className = `backdrop backdrop-${name}`;
    this.backdropElement.style.backgroundColor = name === "colour" ? this.colour : "";
    this.update();
    this.dispatchEvent(new Event("kinds"));
  }

  // From 0 to 1 of the viewport's width; null without a wipe.
  setWipe(at) {
    const other = (at === null) !== (this.wipe === null);
    this.wipe = at === null ? null : Math.min(1, Math.max(0, at));
    this.update();
    if (other) this.dispatchEvent(new Event("kinds"));
  }

  zoomTo(scale, at = this.middle) {
    if (!this.#known) return;
    this.fits = false;
    this.#move(zoomed(this.place, at, scaleWithin(scale, this.#bounds, this.viewport, this.ratio)));
  }

  zoomBy(steps, at) {
    this.zoomTo(this.place.scale * STEP ** steps, at);
  }

  // Between the whole picture and one device pixel a pixel.
  toggleZoom(at) {
    if (!this.fits) this.fit();
    else this.zoomTo(1 / this.ratio, at);
  }

  fit() {
    this.fits = true;
    this.update();
  }

  pan(dx, dy) {
    if (!this.#known) return;
    this.fits = false;
    this.#move({ ...this.place, x: this.place.x + dx, y: this.place.y + dy });
  }

  get middle() {
    return { x: this.viewport.width / 2, y: this.viewport.height / 2 };
  }

  // Whether there is anything to pan to.
  get overflows() {
    if (!this.#known) return false;
    const { width, height } = this.#bounds;
    return width * this.place.scale > this.viewport.width + 1 || height * this.place.scale > this.viewport.height + 1;
  }

  // Device pixels for a pixel of the picture, in per cent.
  get percent() {
    return Math.round(this.place.scale * this.ratio * 100);
  }

  // Fetches what other pictures show first, in this order; with `kinds`, those of it.
  ahead(pictures) {
    const urls = [];
    for (const { address, sourceOnly, kinds, ...picture } of pictures) {
      const layout = layoutOf(picture, this.composes || sourceOnly);
      const { frame } = layout;
      if (!frame) continue;
      const place = fitted(frame, this.viewport, this.ratio);
      for (const kind of kinds ?? this.#kindsOf(sourceOnly)) {
        const pyramid = picture.pyramids[kind];
        if (!pyramid) continue;
        const layer = new TileLayer(this.loader, kind, pyramid, (tile) => address(kind, tile));
        urls.push(...layer.addresses(place, frame, this.viewport, this.ratio, boxIn(layout, kind)));
      }
    }
    this.loader.ahead(urls);
  }

  // Kinds in sight, the lowest first.
  get kinds() {
    return this.#kindsOf(this.picture?.sourceOnly);
  }

  /** Those that a picture with a cutout needs now. */
  get wantedKinds() {
    return this.#kindsOf(false);
  }

  #kindsOf(sourceOnly) {
    if (this.composes || sourceOnly) return ["source"];
    const after = this.backdrop === "matte" ? "matte" : "cutout";
    if (this.wipe !== null) return ["source", after];
    return [this.side === "before" ? "source" : after];
  }

  // Draws before the next frame.
  update() {
    this.frameAsked ??= requestAnimationFrame(() => {
      this.frameAsked = null;
      this.#draw();
    });
  }

  destroy() {
    cancelAnimationFrame(this.frameAsked);
    this.watcher.disconnect();
    this.pointerInput.destroy();
    for (const layer of this.layers.values()) layer.remove();
    this.element.remove();
  }

  get #known() {
    return Boolean(this.picture && this.frame);
  }

  get #isSourceAlone() {
    return this.composes || Boolean(this.picture.sourceOnly);
  }

  // What can be looked at: the source may reach beyond a result.
  get #bounds() {
    return boundsOf(this.layout, this.kinds.includes("source"));
  }

  // A layout may come to be known, or be another, while the picture is looked at: what is seen stays where it is.
  #lay() {
    if (!this.#known) return;
    const layout = layoutOf(this.picture, this.#isSourceAlone);
    if (this.layout && !this.fits) this.place = movedTo(this.place, this.layout, layout);
    this.layout = layout;
    if (this.fits) this.place = fitted(layout.frame, this.viewport, this.ratio);
  }

  #build(label, wipeLabel) {
    this.element = document.createElement("div");
    this.element.className = "viewer";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", label);
    this.backdropElement = document.createElement("div");
    this.backdropElement.className = `backdrop backdrop-${this.backdrop}`;
    this.handle = document.createElement("div");
    this.handle.className = "wipe";
    this.handle.tabIndex = 0;
    this.handle.hidden = true;
    this.handle.setAttribute("role", "slider");
    this.handle.setAttribute("aria-label", wipeLabel);
    this.handle.setAttribute("aria-valuemin", "0");
    this.handle.setAttribute("aria-valuemax", "100");
    this.element.append(this.backdropElement, this.handle);
  }

  #resized() {
    const { clientWidth, clientHeight } = this.element;
    const before = this.middle;
    this.viewport = { width: Math.max(1, clientWidth), height: Math.max(1, clientHeight) };
    if (!this.fits) {
      this.place = { ...this.place, x: this.place.x + this.middle.x - before.x, y: this.place.y + this.middle.y - before.y };
    }
    this.update();
  }

  #move(place) {
    this.place = place;
    this.update();
  }

  // Layers for the kinds in sight, those that left removed.
  #arrange() {
    const kinds = this.picture ? this.kinds.filter((kind) => this.picture.pyramids[kind]) : [];
    for (const [kind, layer] of this.layers) {
      if (kinds.includes(kind)) continue;
      layer.remove();
      this.layers.delete(kind);
    }
    for (const kind of kinds) {
      if (this.layers.has(kind)) continue;
      const { pyramids, address } = this.picture;
      const layer = new TileLayer(this.loader, kind, pyramids[kind], (tile) => address(kind, tile));
      layer.onshown = () => this.#shown();
      layer.onfailed = (url) => this.dispatchEvent(new CustomEvent("failed", { detail: url }));
      this.layers.set(kind, layer);
      if (kind === "source") this.backdropElement.before(layer.element);
      else this.backdropElement.after(layer.element);
    }
  }

  #draw() {
    this.#arrange();
    this.handle.hidden = this.wipe === null || !this.#known;
    this.backdropElement.hidden = !this.#known || this.composes || this.picture.sourceOnly || (this.wipe === null && this.side === "before");
    if (!this.#known) return;
    this.#lay();
    if (!this.fits) this.place = held(this.place, this.#bounds, this.viewport);
    for (const [kind, layer] of this.layers) layer.draw(this.place, this.frame, this.viewport, this.ratio, boxIn(this.layout, kind));
    this.#positionBackdrop();
    this.#clip();
    this.dispatchEvent(new Event("place"));
    this.#shown();
  }

  // Behind the cutout alone, on the same whole device pixels.
  #positionBackdrop() {
    const after = this.layers.get("cutout") ?? this.layers.get("matte") ?? this.layers.get("source");
    const pyramid = after?.pyramid ?? this.frame;
    const own = after ? after.own : this.place;
    const snapped = (value) => Math.round(value * this.ratio) / this.ratio;
    this.backdropBox = {
      left: snapped(own.x),
      top: snapped(own.y),
      width: snapped(pyramid.width * own.scale),
      height: snapped(pyramid.height * own.scale),
    };
    this.backdropElement.style.transform = `translate(${this.backdropBox.left}px, ${this.backdropBox.top}px)`;
    this.backdropElement.style.width = `${this.backdropBox.width}px`;
    this.backdropElement.style.height = `${this.backdropBox.height}px`;
  }

  // The source is seen to the left of the wipe, the cutout to its right, also where it covers less than the source.
  #clip() {
    const { width } = this.viewport;
    const at = this.wipe === null ? 0 : this.wipe * width;
    const isAlone = this.wipe === null || this.composes || this.picture.sourceOnly;
    for (const [kind, layer] of this.layers) {
      const [from, to] = kind === "source" ? [0, at] : [at, width];
      layer.element.style.clipPath = isAlone ? "" : this.#between(from, to, layer.origin);
    }
    const { left, top } = this.backdropBox;
    this.backdropElement.style.clipPath = this.wipe === null ? "" : this.#between(at, width, { x: left, y: top });
    if (this.wipe === null) return;
    this.handle.style.transform = `translate(${at}px, 0)`;
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.wipe * 100)));
  }

  #between(from, to, origin) {
    const left = from - origin.x;
    const right = to - origin.x;
    const top = -origin.y;
    const bottom = this.viewport.height - origin.y;
    return `polygon(${left}px ${top}px, ${right}px ${top}px, ${right}px ${bottom}px, ${left}px ${bottom}px)`;
  }

  #shown() {
    if (this.layers.size > 0 && [...this.layers.values()].every((layer) => layer.complete)) {
      this.dispatchEvent(new Event("shown"));
    }
  }
}

function boxIn({ known, source }, kind) {
  return known && kind === "source" ? source : null;
}
