import assert from "node:assert/strict";
import { test } from "node:test";
import * as tiles from "../../../src/cutoutd/page/static/js/viewer/tile-geometry.js";

const picture = { width: 8660, height: 5773, tile: 512, levels: 6 };
const viewport = { width: 1200, height: 800 };

test("the whole picture fits in the middle of the viewport", () => {
  const place = tiles.fitted(picture, viewport);
  assert.ok(picture.width * place.scale <= viewport.width + 1e-9);
  assert.ok(Math.abs(place.x) < 1e-9);
  assert.ok(place.y > 0);
});

test("a small picture is not enlarged beyond one device pixel a pixel", () => {
  assert.equal(tiles.fitted({ width: 100, height: 50 }, viewport, 2).scale, 0.5);
});

test("zooming leaves the pixel under the pointer where it is", () => {
  const place = { scale: 0.2, x: 13, y: -40 };
  const at = { x: 321, y: 222 };
  const before = tiles.toPicture(place, at);
  const after = tiles.toPicture(tiles.zoomed(place, at, 0.9), at);
  assert.ok(Math.hypot(before[0] - after[0], before[1] - after[1]) < 1e-9);
});

test("a level has a pixel for each device pixel and not more than four", () => {
  assert.equal(tiles.levelFor(1, 1, 6), 0);
  assert.equal(tiles.levelFor(0.5, 1, 6), 1);
  assert.equal(tiles.levelFor(0.49, 1, 6), 1);
  assert.equal(tiles.levelFor(0.5, 2, 6), 0);
  assert.equal(tiles.levelFor(0.001, 1, 6), 5);
  assert.equal(tiles.levelFor(8, 1, 6), 0);
});

test("tiles in sight cover the viewport, and none besides", () => {
  const place = { scale: 1, x: -600, y: -100 };
  const found = tiles.tilesInView(picture, place, viewport, 0);
  const covers = (x, y) => found.some((tile) => {
    const area = tiles.areaOf(picture, tile);
    return x >= area.left && x < area.right && y >= area.top && y < area.bottom;
  });
  for (const [x, y] of [[600, 100], [1799, 100], [600, 899], [1799, 899], [1200, 500]]) assert.ok(covers(x, y));
  assert.equal(found.length, 3 * 2);
});

test("tiles at the border end with the picture", () => {
  const area = tiles.areaOf(picture, { level: 0, x: 16, y: 11 });
  assert.equal(area.right, 8660);
  assert.equal(area.bottom, 5773);
  assert.deepEqual(tiles.gridOf(picture, 5), { columns: 1, rows: 1 });
});

test("neighbouring tiles meet on the same device pixel at any scale", () => {
  for (const scale of [0.137, 0.333, 0.71, 1.9]) {
    for (const ratio of [1, 1.25, 2, 2.625]) {
      const left = tiles.boxOf(tiles.areaOf(picture, { level: 0, x: 3, y: 2 }), scale, ratio);
      const right = tiles.boxOf(tiles.areaOf(picture, { level: 0, x: 4, y: 2 }), scale, ratio);
      assert.ok(Math.abs(left.left + left.width - right.left) < 1e-9);
      assert.ok(Math.abs(right.left * ratio - Math.round(right.left * ratio)) < 1e-9);
    }
  }
});

test("a picture does not leave the viewport", () => {
  const place = tiles.held({ scale: 1, x: 500, y: -99999 }, picture, viewport);
  assert.equal(place.x, 0);
  assert.equal(place.y, 800 - 5773);
});

test("a tile lies in its coarser one", () => {
  assert.deepEqual(tiles.coarser({ level: 0, x: 5, y: 4 }), { level: 1, x: 2, y: 2 });
});

test("a cutout lies over its source if it has the same shape, at any size, and is not laid out otherwise", () => {
  const source = { width: 6000, height: 4001 };
  const apart = (width, height, laid_out = false) => tiles.isApart({ width, height, laid_out }, source);
  assert.equal(apart(6000, 4001), false);
  assert.equal(apart(1000, 667), false);
  assert.equal(apart(2000, 2000), true);
  assert.equal(apart(3000, 3000), true);
  assert.equal(apart(6000, 4001, true), true);
  assert.equal(tiles.isApart(undefined, source), false);
});

test("the source lies in a result where that says, and what is looked at stays there whatever else is shown", () => {
  const source = { width: 400, height: 300 };
  const cutout = { width: 600, height: 600, frame: [-100, 50, 800, 600] };
  const alone = tiles.layoutOf({ pyramids: { source, cutout } }, true);
  const both = tiles.layoutOf({ frame: source, pyramids: { source, cutout } });
  assert.equal(both.frame, cutout);
  assert.deepEqual(tiles.layoutOf({ pyramids: { source, cutout: { width: 40, height: 30 } } }).frame, source);
  const place = { scale: 3, x: 10, y: 20 };
  const moved = tiles.movedTo(place, alone, both);
  assert.deepEqual(tiles.toViewport(place, [100, 80]), tiles.toViewport(moved, [100 * 2 - 100, 80 * 2 + 50]));
  assert.deepEqual(tiles.movedTo(moved, both, alone), place);
});

test("what lies beyond a result can be looked at while the source is shown", () => {
  const layout = { frame: { width: 100, height: 100 }, source: { left: -50, top: 10, width: 400, height: 60 } };
  assert.deepEqual(tiles.boundsOf(layout, true), { left: -50, top: 0, width: 400, height: 100 });
  assert.deepEqual(tiles.boundsOf(layout, false), { left: 0, top: 0, width: 100, height: 100 });
  assert.deepEqual(tiles.held({ scale: 10, x: 9999, y: 0 }, tiles.boundsOf(layout, true), viewport), { scale: 10, x: 500, y: 0 });
});
