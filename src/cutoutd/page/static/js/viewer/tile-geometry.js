/**
 * Arithmetic of a picture in a viewport, and of its tiles. Pure: touches no document and makes no request.
 *
 * A picture has `width`, `height`, `tile` (side of a tile in pixels) and `levels`; level 0 is the full size and each
 * further level half of the one before. A place is `{scale, x, y}`: CSS pixels for a pixel of the picture, and where
 * the picture's left upper corner is in the viewport, in CSS pixels.
 */

const MAXIMUM_ZOOM = 16; // device pixels for a pixel of the picture
const SMALLEST_PART = 0.5; // of the size that fits; further out there is nothing to see
const ROUNDED = 2; // pixels by which a reduced picture's shape may be another

// The place that shows the whole picture. Small pictures are not enlarged beyond one device pixel a pixel.
export function fitted(picture, viewport, ratio = 1) {
  const scale = Math.min(
    viewport.width / picture.width,
    viewport.height / picture.height,
    1 / ratio,
  );
  return centred(picture, viewport, scale);
}

function centred(picture, viewport, scale) {
  return {
    scale,
    x: (viewport.width - picture.width * scale) / 2,
    y: (viewport.height - picture.height * scale) / 2,
  };
}

// Changes the scale so that the point of the viewport `at` stays on the same pixel of the picture.
export function zoomed(place, at, scale) {
  const factor = scale / place.scale;
  return {
    scale,
    x: at.x - (at.x - place.x) * factor,
    y: at.y - (at.y - place.y) * factor,
  };
}

export function scaleWithin(scale, picture, viewport, ratio = 1) {
  const smallest = fitted(picture, viewport, ratio).scale * SMALLEST_PART;
  return Math.min(Math.max(scale, smallest), MAXIMUM_ZOOM / ratio);
}

// What a view of a picture is laid out by: `frame`, the size that its place is for, which is that of the result where this shows the picture
// elsewhere, as on a canvas; `source`, the box of the whole picture in it; and `known`, whether that box was told.
export function layoutOf({ frame, pyramids }, isSourceAlone = false) {
  const result = pyramids.cutout ?? pyramids.matte;
  if (result?.frame && !isSourceAlone) {
    const [left, top, width, height] = result.frame;
    return { frame: result, source: { left, top, width, height }, known: true };
  }
  const size = frame ?? pyramids.source ?? result;
  return { frame: size, source: { left: 0, top: 0, width: size?.width, height: size?.height }, known: false };
}

// The place in another layout that leaves the source where it is.
export function movedTo(place, from, to) {
  const scale = (place.scale * from.source.width) / to.source.width;
  return {
    scale,
    x: place.x + from.source.left * place.scale - to.source.left * scale,
    y: place.y + from.source.top * place.scale - to.source.top * scale,
  };
}

// The box around the frame and what lies beyond it.
export function boundsOf({ frame, source }, hasSource) {
  const left = hasSource ? Math.min(0, source.left) : 0;
  const top = hasSource ? Math.min(0, source.top) : 0;
  const right = hasSource ? Math.max(frame.width, source.left + source.width) : frame.width;
  const bottom = hasSource ? Math.max(frame.height, source.top + source.height) : frame.height;
  return { left, top, width: right - left, height: bottom - top };
}

// Keeps the box in sight: centred along a side where it is smaller than the viewport, else without a gap.
export function held(place, { left = 0, top = 0, width, height }, viewport) {
  const { scale } = place;
  return {
    scale,
    x: heldAlong(place.x + left * scale, width * scale, viewport.width) - left * scale,
    y: heldAlong(place.y + top * scale, height * scale, viewport.height) - top * scale,
  };
}

function heldAlong(start, size, room) {
  if (size <= room) return (room - size) / 2;
  return Math.min(0, Math.max(room - size, start));
}

// Whether the subject lies elsewhere in the cutout than in the source, as on a canvas; one that is only smaller lies over the source.
export function isApart(cutout, source) {
  if (!cutout || !source) return false;
  const width = (source.width * cutout.height) / source.height;
  return Boolean(cutout.laid_out) || Math.abs(cutout.width - width) > ROUNDED;
}

export function toPicture(place, at) {
  return [(at.x - place.x) / place.scale, (at.y - place.y) / place.scale];
}

export function toViewport(place, [x, y]) {
  return { x: place.x + x * place.scale, y: place.y + y * place.scale };
}

// The coarsest level that still has a pixel for each device pixel.
export function levelFor(scale, ratio, levels) {
  const level = Math.floor(Math.log2(1 / (scale * ratio)) + 1e-6);
  return Math.min(Math.max(level, 0), levels - 1);
}

// Columns and rows of a level.
export function gridOf(picture, level) {
  const side = picture.tile * 2 ** level;
  return { columns: Math.ceil(picture.width / side), rows: Math.ceil(picture.height / side) };
}

// The part of the picture that a tile shows, in pixels of the full size. The last ones end with the picture, however
// the size of their level was rounded.
export function areaOf(picture, { level, x, y }) {
  const side = picture.tile * 2 ** level;
  return {
    left: x * side,
    top: y * side,
    right: Math.min((x + 1) * side, picture.width),
    bottom: Math.min((y + 1) * side, picture.height),
  };
}

// Tiles of a level that the viewport shows, with a margin in CSS pixels; those nearest to its middle first.
export function tilesInView(picture, place, viewport, level, margin = 0) {
  const side = picture.tile * 2 ** level * place.scale;
  const { columns, rows } = gridOf(picture, level);
  const first = (start) => Math.max(0, Math.floor((-margin - start) / side));
  const last = (start, room, count) => Math.min(count - 1, Math.floor((room + margin - start) / side));
  const tiles = [];
  for (let y = first(place.y); y <= last(place.y, viewport.height, rows); y++) {
    for (let x = first(place.x); x <= last(place.x, viewport.width, columns); x++) tiles.push({ level, x, y });
  }
  const far = (tile) =>
    Math.hypot(
      place.x + (tile.x + 0.5) * side - viewport.width / 2,
      place.y + (tile.y + 0.5) * side - viewport.height / 2,
    );
  return tiles.sort((one, other) => far(one) - far(other));
}

// Where an area of the picture lies, in CSS pixels from the picture's corner, on whole device pixels: neighbours meet
// without a seam at any scale.
export function boxOf(area, scale, ratio) {
  const snapped = (value) => Math.round(value * scale * ratio) / ratio;
  const left = snapped(area.left);
  const top = snapped(area.top);
  return { left, top, width: snapped(area.right) - left, height: snapped(area.bottom) - top };
}

// The tile of a coarser level that contains this one.
export function coarser({ level, x, y }) {
  return { level: level + 1, x: x >> 1, y: y >> 1 };
}
