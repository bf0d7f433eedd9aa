/**
 * One kind of a picture (source, cutout or matte) as tiles of <img>, so that the browser manages colour. Knows where its
 * tiles lie, and neither pointers nor keys.
 */

import { areaOf, boxOf, coarser, levelFor, tilesInView } from "./tile-geometry.js";

const MARGIN = 128; // CSS pixels around the viewport where tiles are placed before they come into sight

export class Layer {
  // `look` is `{width, height, tile, levels, version}`; `address(tile)` its address.
  constructor(loader, kind, look, address) {
    this.loader = loader;
    this.kind = kind;
    this.look = look;
    this.address = address;
    this.cells = new Map();
    this.element = document.createElement("div");
    this.element.className = `layer layer-${kind}`;
    this.onshown = () => {};
    this.onfailed = () => {};
  }

  // `frame` is the size that a place is for: that of the source. A cutout of another form lies in its middle.
  draw(place, frame, viewport, ratio) {
    const own = this.placeWithin(place, frame);
    const level = levelFor(own.scale, ratio, this.look.levels);
    const x = Math.round(own.x * ratio) / ratio;
    const y = Math.round(own.y * ratio) / ratio;
    this.element.style.transform = `translate(${x}px, ${y}px)`;
    this.origin = { x, y };
    const moved = own.scale !== this.scale || ratio !== this.ratio;
    [this.scale, this.ratio] = [own.scale, ratio];
    const wanted = new Map();
    for (const tile of tilesInView(this.look, own, viewport, level, MARGIN)) {
      wanted.set(`${tile.level}/${tile.x}/${tile.y}`, tile);
    }
    for (const [key, cell] of this.cells) if (!wanted.has(key)) this.#remove(key, cell);
    this.#loadGround();
    for (const [key, tile] of wanted) {
      const cell = this.cells.get(key);
      if (!cell) this.#add(key, tile);
      else if (moved) this.#lay(cell);
    }
  }

  // The whole picture as one small tile, which stands in for all that have not come.
  #loadGround() {
    if (this.ground) return;
    this.ground = this.address({ level: this.look.levels - 1, x: 0, y: 0 });
    this.loader.load(this.ground, () => {
      for (const cell of this.cells.values()) {
        if (cell.image || cell.stand) continue;
        this.#standIn(cell);
        this.#lay(cell);
      }
    });
  }

  placeWithin(place, frame) {
    const factor = Math.min(frame.width / this.look.width, frame.height / this.look.height);
    return {
      scale: place.scale * factor,
      x: place.x + ((frame.width - this.look.width * factor) / 2) * place.scale,
      y: place.y + ((frame.height - this.look.height * factor) / 2) * place.scale,
    };
  }

  // Addresses of what `place` shows, the coarsest level first.
  addresses(place, frame, viewport, ratio) {
    const own = this.placeWithin(place, frame);
    const level = levelFor(own.scale, ratio, this.look.levels);
    const tiles = tilesInView(this.look, own, viewport, level);
    return [{ level: this.look.levels - 1, x: 0, y: 0 }, ...tiles].map(this.address);
  }

  get complete() {
    return this.cells.size > 0 && [...this.cells.values()].every((cell) => cell.image);
  }

  remove() {
    if (this.ground) this.loader.drop(this.ground);
    for (const [key, cell] of this.cells) this.#remove(key, cell);
    this.element.remove();
  }

  #add(key, tile) {
    const cell = { tile, url: this.address(tile), element: document.createElement("div") };
    cell.element.className = "tile";
    this.cells.set(key, cell);
    const there = this.loader.ready(cell.url);
    if (there) this.#fill(cell, there);
    else this.#standIn(cell);
    this.#lay(cell);
    this.element.append(cell.element);
    this.loader.load(
      cell.url,
      (image) => {
        if (this.cells.get(key) !== cell) return;
        if (!cell.image) this.#fill(cell, image);
        this.#lay(cell);
        this.onshown(this);
      },
      () => this.onfailed(cell.url),
    );
  }

  #fill(cell, image) {
    cell.image = image.isConnected ? copyOf(image) : image;
    cell.stand = null;
    cell.element.replaceChildren(cell.image);
  }

  // Until a tile is there, its part of a coarser one that is. A cell shows one of the two and never both: edges that are
  // half transparent would be laid over themselves.
  #standIn(cell) {
    for (let tile = coarser(cell.tile); tile.level < this.look.levels; tile = coarser(tile)) {
      const image = this.loader.ready(this.address(tile));
      if (!image) continue;
      cell.stand = { tile, image: copyOf(image) };
      cell.element.append(cell.stand.image);
      return;
    }
  }

  #lay(cell) {
    const box = boxOf(areaOf(this.look, cell.tile), this.scale, this.ratio);
    put(cell.element, box);
    if (cell.image) put(cell.image, { left: 0, top: 0, width: box.width, height: box.height });
    if (cell.stand) {
      const from = boxOf(areaOf(this.look, cell.stand.tile), this.scale, this.ratio);
      put(cell.stand.image, { ...from, left: from.left - box.left, top: from.top - box.top });
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
