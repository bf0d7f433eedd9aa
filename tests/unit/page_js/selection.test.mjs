import assert from "node:assert/strict";
import { test } from "node:test";
import { Selection } from "../../../src/cutoutd/page/static/js/review/selection.js";

test("without a selection an action is for the current picture", () => {
  const selection = new Selection(10);
  selection.go(4);
  assert.deepEqual(selection.targets(), [4]);
});

test("shift selects a range and can make it shorter again", () => {
  const selection = new Selection(10);
  selection.go(2);
  selection.extend(6);
  assert.deepEqual(selection.targets(), [2, 3, 4, 5, 6]);
  selection.extend(3);
  assert.deepEqual(selection.targets(), [2, 3]);
  selection.extend(0);
  assert.deepEqual(selection.targets(), [0, 1, 2]);
});

test("ctrl adds one and takes it away, and the current one comes along", () => {
  const selection = new Selection(10);
  selection.go(1);
  selection.toggle(5);
  assert.deepEqual(selection.targets(), [1, 5]);
  selection.toggle(5);
  assert.deepEqual(selection.targets(), [1]);
});

test("a range after a ctrl click keeps what was selected before", () => {
  const selection = new Selection(10);
  selection.go(0);
  selection.toggle(4);
  selection.extend(6);
  assert.deepEqual(selection.targets(), [0, 4, 5, 6]);
});

test("all of 30,000 are selected, and one is taken out", () => {
  const selection = new Selection(30000);
  selection.chooseAll();
  assert.equal(selection.size, 30000);
  selection.toggle(17);
  assert.equal(selection.size, 29999);
  assert.ok(!selection.has(17));
});

test("an arrow key ends the selection", () => {
  const selection = new Selection(3);
  selection.chooseAll();
  selection.go(1);
  assert.equal(selection.size, 0);
  selection.go(99);
  assert.equal(selection.current, 2);
});

test("an empty list has nothing to act on", () => {
  const selection = new Selection(0);
  selection.go(1);
  selection.extend(1);
  selection.toggle(1);
  selection.chooseAll();
  assert.deepEqual(selection.targets(), []);
});
