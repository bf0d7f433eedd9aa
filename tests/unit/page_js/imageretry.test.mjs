import assert from "node:assert/strict";
import { test } from "node:test";
import { retryImages } from "../../../src/cutoutd/page/static/js/imageretry.js";

function image(src) {
  const asked = [];
  const made = { tagName: "IMG", isConnected: true, getAttribute: () => made.source, source: src, asked };
  Object.defineProperty(made, "src", { set: (value) => asked.push(value) });
  return made;
}

function listened() {
  const waits = [];
  let heard = null;
  const target = { addEventListener: (name, listener, capture) => (heard = name === "error" && capture ? listener : null) };
  retryImages(target, (again, ms) => waits.push({ again, ms }));
  return { waits, fail: (one) => heard({ target: one }) };
}

test("a small picture that does not come is asked for again, each time later, and not for ever", () => {
  const { waits, fail } = listened();
  const one = image("/img/1/cutout/thumb?v=a");
  for (let count = 0; count < 20; count++) fail(one);
  assert.deepEqual(waits.map(({ ms }) => ms), [2000, 4000, 8000, 16000, ...Array(8).fill(30_000)]);
  waits[0].again();
  assert.deepEqual(one.asked, ["/img/1/cutout/thumb?v=a"]);
});

test("another picture in its place begins anew, and one that is gone is not asked for", () => {
  const { waits, fail } = listened();
  const one = image("/img/1/cutout/thumb?v=a");
  fail(one);
  one.source = "/img/2/cutout/thumb?v=b";
  waits[0].again();
  assert.deepEqual(one.asked, []);
  fail(one);
  assert.equal(waits[1].ms, 2000);
  one.isConnected = false;
  waits[1].again();
  assert.deepEqual(one.asked, []);
});

test("tiles have a loader of their own, and other things fail for themselves", () => {
  const { waits, fail } = listened();
  fail(image("/img/1/cutout/0/1/2?v=a"));
  fail({ tagName: "SCRIPT" });
  assert.deepEqual(waits, []);
});
