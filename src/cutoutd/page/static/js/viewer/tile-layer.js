/**
 * One kind of a picture (source, cutout or matte) as tiles of <img>, so that the browser manages colour. Knows where its
 * tiles lie, and neither pointers nor keys.
 */

import { areaOf, boxOf, coarser, levelFor, tilesInView } from "./tile-geometry.js";

const MARGIN = 128; // CSS pixels around the viewport where tiles are placed before they come into sight

export class TileLayer {
  // `pyramid` is `{width, height, tile, levels, version}`; `address(tile)` its address.
  constructor(loader, kind, pyramid, address) {
    this.loader = loader;
    this.kind = kind;
    this.pyramid = pyramid;
    this.address = address;
    this.cells = new Map();
    this.element = document.createElement("div");
    this.element.className = `layer layer-${kind}`;
    this.onshown = () => {};
    this.onfailed = () => {};
  }

  // `frame` is the size that a place is for, and `box` this layer's in it; without one it lies in the middle.
  draw(place, frame, viewport, ratio, box) {
    const own = this.placeWithin(place, frame, box);
    this.own = own;
    const level = levelFor(own.scale, ratio, this.pyramid.levels);
    const x = Math.round(own.x * ratio) / ratio;
    const y = Math.round(own.y * ratio) / ratio;
    this.element.style.transform = `translate(${x}px, ${y}px)`;
    this.origin = { x, y };
    const moved = own.scale !== this.scale || ratio !== this.ratio;
    [this.scale, this.ratio] = [own.scale, ratio];
    const wanted = new Map();
    for (const tile of tilesInView(this.pyramid, own, viewport, level, MARGIN)) {
      wanted.set(`${tile.level}/${tile.x}/${tile.y}`, tile);
    }
    for (const [key, cell] of this.cells) if (!wanted.has(key)) this.#remove(key, cell);
    this.#loadCoarsest();
    for (const [key, tile] of wanted) {
      const cell = this.cells.get(key);
      if (!cell) this.#add(key, tile);
      else if (moved) this.#position(cell);
    }
  }

  // The whole picture as one small tile, which stands in for all that have not come.
  #loadCoarsest() {
    if (this.coarsest) return;
    this.coarsest = this.address({ level: this.pyramid.levels - 1, x: 0, y: 0 });
    this.loader.load(this.coarsest, () => {
      for (const cell of this.cells.values()) {
        if (cell.image || cell.placeholder) continue;
        this.#showPlaceholder(cell);
        this.#position(cell);
      }
    });
  }

  placeWithin(place, frame, box) {
    if (box) return { scale: (place.scale * box.width) / this.pyramid.width, x: place.x + box.left * place.scale, y: place.y + box.top * place.scale };
    const factor = Math.min(frame.width / this.pyramid.width, frame.height / this.pyramid.height);
    return {
      scale: place.scale * factor,
      x: place.x + ((frame.width - this.pyramid.width * factor) / 2) * place.scale,
      y: place.y + ((frame.height - this.pyramid.height * factor) / 2) * place.scale,
    };
  }

  // Addresses of what `place` shows, the coarsest level first.
  addresses(place, frame, viewport, ratio, box) {
    const own = this.placeWithin(place, frame, box);
    const level = levelFor(own.scale, ratio, this.pyramid.levels);
    const tiles = tilesInView(this.pyramid, own, viewport, level);
    return [{ level: this.pyramid.levels - 1, x: 0, y: 0 }, ...tiles].map(this.address);
  }

  get complete() {
    return this.cells.size > 0 && [...this.cells.values()].every((cell) => cell.image);
  }

  remove() {
    if (this.coarsest) this.loader.drop(this.coarsest);
    for (const [key, cell] of this.cells) this.#remove(key, cell);
    this.element.remove();
  }

  #add(key, tile) {
    const cell = { tile, url: this.address(tile), element: document.createElement("div") };
    cell.element.className = "tile";
    this.cells.set(key, cell);
    const there = this.loader.ready(cell.url);
    if (there) this.#fill(cell, there);
    else this.#showPlaceholder(cell);
    this.#position(cell);
    this.element.append(cell.element);
    this.loader.load(
      cell.url,
      (image) => {
        if (this.cells.get(key) !== cell) return;
        if (!cell.image) this.#fill(cell, image);
        this.#position(cell);
        this.onshown(this);
      },
      () => this.onfailed(cell.url),
    );
  }

  #fill(cell, image) {
    cell.image = image.isConnected ? copyOf(image) : image;
    cell.placeholder = null;
    cell.element.replaceChildren(cell.image);
  }

  // Until a tile is there, its part of a coarser one that is. A cell shows one of the two and never both: edges that are
  // half transparent would be laid over themselves.
  #showPlaceholder(cell) {
    for (let tile = coarser(cell.tile); tile.level < this.pyramid.levels; tile = coarser(tile)) {
      const image = this.loader.ready(this.address(tile));
      if (!image) continue;
      cell.placeholder = { tile, image: copyOf(image) };
      cell.element.append(cell.placeholder.image);
      return;
    }
  }

  #position(cell) {
    const box = boxOf(areaOf(this.pyramid, cell.tile), this.scale, this.ratio);
    put(cell.element, box);
    if (cell.image) put(cell.image, { left: 0, top: 0, width: box.width, height: box.height });
    if (cell.placeholder) {
      const from = boxOf(areaOf(this.pyramid, cell.placeholder.tile), this.scale, this.ratio);
      put(cell.placeholder.image, { ...from, left: from.left - box.left, top: from.top - box.top });
    }
  }

  #remove(key, cell) {
    this.cells.delete(key);
    this.loader.drop(cell.url);
    cell.element.remove();
    cell.element.replaceChildren();
  }
}

function copyOf(image) {
  const copy = image.cloneNode();
  copy.decoding = "sync"; // it is decoded: no empty frame in between
  return copy;
}

function put(element, { left, top, width, height }) {
  element.style.left = `${left}px`;
  element.style.top = `${top}px`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
}
