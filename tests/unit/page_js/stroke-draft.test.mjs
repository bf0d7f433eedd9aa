import assert from "node:assert/strict";
import { test } from "node:test";
import { StrokeDraft } from "../../../src/cutoutd/page/static/js/fix/stroke-draft.js";
import { memoryStorage } from "./stand-ins.mjs";

const stroke = (x) => ({ kind: "keep", points: [[x, x]], radius: 3 });

test("strokes that were not saved are there again, after those that were", () => {
  const draft = new StrokeDraft(memoryStorage(), 7);
  draft.keep("hash", { strokes: [stroke(1), stroke(2)], suggestion: 0 });
  assert.deepEqual(draft.after("hash", [stroke(1)]).strokes, [stroke(2)]);
});

test("strokes over another cutout, or after other strokes, are not used", () => {
  const draft = new StrokeDraft(memoryStorage(), 7);
  draft.keep("hash", { strokes: [stroke(1), stroke(2)], suggestion: 0 });
  assert.deepEqual(draft.after("other", []).strokes, []);
  assert.deepEqual(draft.after("hash", [stroke(9)]).strokes, []);
});

test("what is dropped, belongs to another picture or does not fit is not there, and no error", () => {
  const place = memoryStorage();
  const draft = new StrokeDraft(place, 7);
  draft.keep("hash", { strokes: [stroke(1)], suggestion: 0 });
  assert.deepEqual(new StrokeDraft(place, 8).after("hash", []).strokes, []);
  draft.drop();
  assert.deepEqual(draft.after("hash", []).strokes, []);
  const full = new StrokeDraft(memoryStorage({ full: true }), 7);
  full.keep("hash", { strokes: [stroke(1)], suggestion: 0 });
  assert.deepEqual(full.after("hash", []).strokes, []);
});

test("the suggestion that was shown is shown again, and the first one where a former version kept none", () => {
  const place = memoryStorage();
  const draft = new StrokeDraft(place, 7);
  draft.keep("hash", { strokes: [stroke(1)], suggestion: 1 });
  assert.deepEqual(draft.after("hash", []), { strokes: [stroke(1)], suggestion: 1 });
  assert.deepEqual(draft.after("hash", [stroke(1)]), { strokes: [], suggestion: 1 }); // it alone was chosen
  assert.equal(draft.after("other", []).suggestion, null);
  place.setItem("cutoutd-strokes-7", JSON.stringify({ seen: "hash", strokes: [stroke(1)] }));
  assert.equal(draft.after("hash", []).suggestion, 0);
});
