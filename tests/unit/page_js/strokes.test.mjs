import assert from "node:assert/strict";
import { test } from "node:test";
import * as strokes from "../../../src/cutoutd/page/static/js/fix/strokes.js";

const stroke = (x) => ({ kind: "keep", points: [[x, x]], radius: 3 });

test("a straight line of many points becomes its two ends", () => {
  const line = Array.from({ length: 1000 }, (_, i) => [i, 2 * i + (i % 2) * 0.1]);
  assert.deepEqual(strokes.simplified(line, 0.5), [[0, 0], [999, 1998.1]]);
});

test("a corner is kept, and no point is further away than the tolerance", () => {
  const line = [];
  for (let i = 0; i <= 500; i++) line.push([i, 20 * Math.sin(i / 40)]);
  const short = strokes.simplified(line, 0.75);
  assert.ok(short.length < 60 && short.length > 8);
  for (const [x, y] of line) {
    const at = short.findIndex((one, i) => i > 0 && one[0] >= x);
    const [[ax, ay], [bx, by]] = [short[at - 1], short[at]];
    assert.ok(Math.abs(ay + ((by - ay) * (x - ax)) / (bx - ax) - y) < 1);
  }
});

test("100,000 points in one stroke are simplified within the bounds", () => {
  const line = Array.from({ length: 100000 }, (_, i) => [Math.cos(i / 300) * 500, Math.sin(i / 300) * 500]);
  assert.ok(strokes.simplified(line, 0.75).length < strokes.MOST_POINTS);
});

test("one click stays one point", () => {
  assert.deepEqual(strokes.simplified([[3.14159, 2.71828]], 1), [[3.1, 2.7]]);
});

test("undo goes stroke by stroke to the start, redo comes back", () => {
  const history = new strokes.StrokeHistory();
  history.add(stroke(1));
  history.add(stroke(2));
  assert.ok(history.changed);
  history.undo();
  assert.deepEqual(history.strokes, [stroke(1)]);
  history.undo();
  assert.ok(!history.changed);
  assert.ok(!history.undo());
  history.redo();
  history.redo();
  assert.deepEqual(history.strokes, [stroke(1), stroke(2)]);
});

test("a new stroke after an undo ends the redo", () => {
  const history = new strokes.StrokeHistory();
  history.add(stroke(1));
  history.undo();
  history.add(stroke(2));
  assert.ok(!history.redo());
  assert.deepEqual(history.strokes, [stroke(2)]);
});

test("all strokes are removed in one step, which can be undone", () => {
  const history = new strokes.StrokeHistory();
  history.add(stroke(1));
  history.add(stroke(2));
  history.clear();
  assert.deepEqual(history.strokes, []);
  history.undo();
  assert.equal(history.strokes.length, 2);
});

test("strokes of an earlier correction are undone one by one as well", () => {
  const history = new strokes.StrokeHistory({ strokes: [stroke(1), stroke(2)] });
  assert.ok(!history.changed);
  history.undo();
  assert.deepEqual(history.strokes, [stroke(1)]);
  assert.ok(history.changed);
});

test("more than 500 strokes or 20,000 points are not admitted", () => {
  const many = Array.from({ length: 500 }, (_, i) => stroke(i));
  assert.ok(!strokes.hasRoom(many, 1));
  assert.ok(strokes.hasRoom(many.slice(1), 1));
  assert.ok(!strokes.hasRoom([], 20001));
});

test("a stroke that leaves the picture ends at its border", () => {
  assert.deepEqual(strokes.within([-5, 900], { width: 640, height: 480 }), [0, 480]);
});

test("what is drawn while other strokes are saved is not saved with them", () => {
  const history = new strokes.StrokeHistory();
  history.add(stroke(1));
  const sent = history.correction;
  history.add(stroke(2));
  history.markSaved(sent);
  assert.equal(history.changed, true);
  history.undo();
  assert.equal(history.changed, false);
});

test("another suggestion for strokes that are saved is a change, and the first one again is none", () => {
  const history = new strokes.StrokeHistory({ strokes: [stroke(1)] });
  history.suggestOther();
  assert.ok(history.changed);
  assert.deepEqual(history.correction, { strokes: [stroke(1)], suggestion: 1 });
  history.markSaved();
  assert.ok(!history.changed);
  history.suggestOther();
  assert.ok(history.changed);
  history.suggestOther();
  assert.ok(!history.changed);
});

test("strokes that are saved keep their suggestion, others begin with the first one", () => {
  const history = new strokes.StrokeHistory({ strokes: [stroke(1)], suggestion: 1 });
  assert.deepEqual([history.suggestion, history.changed], [1, false]);
  history.add(stroke(2));
  assert.equal(history.suggestion, 0);
  history.undo();
  assert.deepEqual([history.suggestion, history.changed], [1, false]);
  history.undo();
  assert.deepEqual([history.suggestion, history.changed], [0, true]);
});

test("without strokes there is no other suggestion", () => {
  const history = new strokes.StrokeHistory();
  history.suggestOther();
  assert.deepEqual([history.suggestion, history.changed], [0, false]);
});
