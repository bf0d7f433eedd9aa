/**
 * A matte laid over the source at once: where it is transparent, the backdrop is painted over the picture. The picture itself stays in
 * <img>, so that its colours are the browser's affair. Knows no strokes but the one that is being painted.
 */

const SQUARE = 10; // of the checkerboard, CSS pixels
const BACKDROP_COLOURS = { white: "#fff", black: "#000", grey: "#808080" };

export class MattePreview {
  constructor() {
    this.matte = null; // a canvas whose alpha is the matte
    this.base = null;
    this.scratch = null;
    this.turn = this.taken = 0;
  }

  /** Takes a grey picture: white is the subject. Decoding takes differently long: false if a later one was taken meanwhile. */
  async take(blob) {
    const turn = ++this.turn;
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    if (turn < this.taken) {
      bitmap.close();
      return false;
    }
    this.taken = turn;
    const canvas = canvasOf(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const { data } = pixels;
    for (let i = 0; i < data.length; i += 4) {
      data[i + 3] = data[i];
      data[i] = data[i + 1] = data[i + 2] = 255;
    }
    context.putImageData(pixels, 0, 0);
    this.matte = this.base = canvas;
    return true;
  }

  /** Shows an exact stroke before the backend has answered; null: without one. */
  paint(stroke, { width, height }) {
    if (!this.base) return;
    this.matte = this.base;
    if (!stroke) return;
    const canvas = this.#free();
    const context = canvas.getContext("2d");
    context.globalCompositeOperation = "copy";
    context.drawImage(this.base, 0, 0);
    context.save();
    context.scale(canvas.width / width, canvas.height / height);
    for (const [mode, alpha] of [
      ["destination-out", 1],
      ["source-over", stroke.alpha],
    ]) {
      context.globalCompositeOperation = mode;
      context.globalAlpha = alpha;
      trace(context, stroke, "#fff");
    }
    context.restore();
    this.matte = canvas;
  }

  // A canvas beside the base, the same for all of a stroke's frames.
  #free() {
    const { width, height } = this.base;
    if (!this.scratch || this.scratch === this.base || this.scratch.width !== width || this.scratch.height !== height) {
      this.scratch = canvasOf(width, height);
    }
    return this.scratch;
  }

  /** Makes what was painted the base of the next stroke. */
  settle() {
    this.base = this.matte;
  }

  /**
   * Draws the backdrop where nothing is to be seen of the picture. `box` is the picture's place in CSS pixels, `from` where it begins to
   * the right of a wipe; the context is scaled to CSS pixels.
   */
  draw(context, box, { backdrop, colour, from = 0 }) {
    if (!this.matte) return;
    context.save();
    context.beginPath();
    // Some browsers snap the last tiles to whole CSS pixels: no line of the source may be left beside the backdrop.
    const slack = context.getTransform().a > 1 ? 0.5 : 0;
    const left = Math.max(box.left, from);
    context.rect(left, box.top, Math.max(0, box.left + box.width + slack - left), box.height + slack);
    context.clip();
    this.#fill(context, box, backdrop, colour);
    context.globalCompositeOperation = backdrop === "matte" ? "source-over" : "destination-out";
    context.imageSmoothingQuality = "low";
    context.drawImage(this.matte, box.left, box.top, box.width, box.height);
    context.restore();
  }

  #fill(context, { left, top, width, height }, backdrop, colour) {
    context.fillStyle = backdrop === "matte" ? "#000" : backdrop === "colour" ? colour : (BACKDROP_COLOURS[backdrop] ?? this.#checker(context));
    context.fillRect(left, top, width + 1, height + 1);
  }

  #checker(context) {
    const ratio = context.getTransform().a;
    const style = getComputedStyle(document.documentElement);
    const colours = ["--check-1", "--check-2"].map((name) => style.getPropertyValue(name).trim());
    const side = Math.round(SQUARE * ratio);
    const square = canvasOf(side * 2, side * 2);
    const own = square.getContext("2d");
    own.fillStyle = colours[0];
    own.fillRect(0, 0, side * 2, side * 2);
    own.fillStyle = colours[1];
    own.fillRect(side, 0, side, side);
    own.fillRect(0, side, side, side);
    const pattern = context.createPattern(square, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / ratio));
    return pattern;
  }
}

/** Draws a stroke, in pixels of the picture, as its round brush covers it. */
export function trace(context, { points, radius }, colour, width = radius * 2) {
  const [[x, y]] = points;
  context.beginPath();
  if (points.length === 1) {
    context.arc(x, y, width / 2, 0, Math.PI * 2);
    context.fillStyle = colour;
    context.fill();
    return;
  }
  context.moveTo(x, y);
  for (const [px, py] of points.slice(1)) context.lineTo(px, py);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
