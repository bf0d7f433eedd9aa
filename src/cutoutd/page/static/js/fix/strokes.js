/**
 * Strokes as vectors in pixels of the picture, and their history. Pure: touches no document and makes no request.
 *
 * A stroke is `{kind: "keep" | "remove" | "paint", points: [[x, y], ...], radius}`, with `alpha` from 0 to 1 if it
 * paints. A click is a stroke of one point.
 */

const MOST_STROKES = 500;
export const MOST_POINTS = 20000; // of all strokes together

// Leaves out points that the line through their neighbours shows as well, to within `tolerance` pixels (Douglas and
// Peucker, without recursion), and rounds the others to a tenth of a pixel.
export function simplified(points, tolerance) {
  if (points.length < 3) return points.map(rounded);
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const spans = [[0, points.length - 1]];
  while (spans.length > 0) {
    const [first, last] = spans.pop();
    let worst = tolerance;
    let at = -1;
    for (let i = first + 1; i < last; i++) {
      const away = distance(points[i], points[first], points[last]);
      if (away > worst) [worst, at] = [away, i];
    }
    if (at >= 0) {
      keep[at] = 1;
      spans.push([first, at], [at, last]);
    }
  }
  return points.filter((_, i) => keep[i]).map(rounded);
}

function rounded([x, y]) {
  return [Math.round(x * 10) / 10, Math.round(y * 10) / 10];
}

// From a point to a segment.
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const long = dx * dx + dy * dy;
  const t = long === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / long));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

// Points of a stroke are within the picture: one that leaves it ends at its border.
export function within([x, y], { width, height }) {
  return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
}

function countPoints(strokes) {
  return strokes.reduce((sum, stroke) => sum + stroke.points.length, 0);
}

// Whether one more stroke is admitted.
export function hasRoom(strokes, points) {
  return strokes.length < MOST_STROKES && countPoints(strokes) + points <= MOST_POINTS;
}

const STEP = 1.25;

// The next radius, in pixels of the picture, by so many steps.
export function stepRadius(radius, steps, { width, height }) {
  const largest = Math.max(width, height) / 4;
  return Math.min(Math.max(radius * STEP ** steps, 1), largest);
}

// What a brush begins with: a sixtieth of the shorter side.
export function firstRadius({ width, height }) {
  return Math.max(2, Math.round(Math.min(width, height) / 60));
}

function isSame(strokes, others) {
  return strokes === others || JSON.stringify(strokes) === JSON.stringify(others);
}

// Strokes with undo and redo, and which suggestion for them is chosen. Earlier strokes, of a former correction, are undone one by one as well.
export class StrokeHistory {
  constructor({ strokes = [], suggestion = 0 } = {}) {
    this.past = strokes.map((_, i) => strokes.slice(0, i));
    this.strokes = [...strokes];
    this.suggestion = suggestion;
    this.future = [];
    this.markSaved();
  }

  /** What it is after a saved correction was taken back: its strokes can be redone. */
  static before(earlier, { strokes }) {
    const history = new StrokeHistory(earlier);
    if (!isSame(history.strokes, strokes)) history.future = [strokes];
    return history;
  }

  /** What is saved of it. */
  get correction() {
    return { strokes: this.strokes, suggestion: this.suggestion };
  }

  get changed() {
    const isOther = this.strokes.length > 0 && this.suggestion !== this.saved.suggestion;
    return isOther || !isSame(this.strokes, this.saved.strokes);
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  add(stroke) {
    this.#become([...this.strokes, stroke]);
  }

  // Back to the picture without any stroke; one undo brings them all back.
  clear() {
    if (this.strokes.length > 0) this.#become([]);
  }

  undo() {
    if (!this.canUndo) return false;
    this.future.push(this.strokes);
    this.#show(this.past.pop());
    return true;
  }

  redo() {
    if (!this.canRedo) return false;
    this.past.push(this.strokes);
    this.#show(this.future.pop());
    return true;
  }

  /** Chooses the other suggestion; without strokes there is none. */
  suggestOther() {
    if (this.strokes.length > 0) this.suggestion = 1 - this.suggestion;
  }

  /** This was saved; what was drawn or chosen since it was sent is not. */
  markSaved(correction = this.correction) {
    this.saved = correction;
  }

  /** The strokes that were drawn after these; none where some of these were taken back. */
  since(strokes) {
    const now = this.strokes;
    const goesOn = strokes.length <= now.length && strokes.every((stroke, i) => stroke === now[i]);
    return goesOn ? now.slice(strokes.length) : [];
  }

  /** Adds the strokes of another history that are not saved, unless they are here already; how many there were. */
  addUnsaved({ strokes, saved }) {
    const known = new Set(this.strokes.map((stroke) => JSON.stringify(stroke)));
    const added = strokes.filter((stroke) => !saved.strokes.includes(stroke) && !known.has(JSON.stringify(stroke)));
    for (const stroke of added) this.add(stroke);
    return added.length;
  }

  #become(strokes) {
    this.past.push(this.strokes);
    this.#show(strokes);
    this.future = [];
  }

  // Other strokes begin with the first suggestion, those that were saved with the one that was chosen for them.
  #show(strokes) {
    this.strokes = strokes;
    this.suggestion = isSame(strokes, this.saved.strokes) ? this.saved.suggestion : 0;
  }
}
