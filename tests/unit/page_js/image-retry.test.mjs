import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.BroadcastChannel = class {
  addEventListener() {}
};
const { retryImages } = await import("../../../src/cutoutd/page/static/js/components/image-retry.js");

const BUSY = { status: 503, code: "busy" };

function image(src) {
  const asked = [];
  const told = [];
  const made = { tagName: "IMG", isConnected: true, asksWhy: true, getAttribute: () => made.source, source: src, asked, told };
  made.dispatchEvent = ({ type, detail }) => told.push([type, detail]);
  Object.defineProperty(made, "src", { set: (value) => asked.push(value) });
  return made;
}

function listened(why = () => BUSY) {
  const waits = [];
  let heard = null;
  const target = { addEventListener: (name, listener, capture) => (heard = name === "error" && capture ? listener : null) };
  retryImages(target, { wait: (again, ms) => waits.push({ again, ms }), why: async () => why() });
  return { waits, fail: (one) => heard({ target: one }) };
}

test("a small picture that does not come is asked for again, each time later, and not for ever", async () => {
  const { waits, fail } = listened();
  const one = image("/img/1/cutout/thumb?v=a");
  for (let count = 0; count < 20; count++) await fail(one);
  assert.deepEqual(waits.map(({ ms }) => ms), [2000, 4000, 8000, 16000, ...Array(8).fill(30_000)]);
  waits[0].again();
  assert.deepEqual(one.asked, ["/img/1/cutout/thumb?v=a"]);
  assert.deepEqual(one.told[0], ["refused", "busy"]);
});

test("one that is gone is not asked for again, and the reason is told", async () => {
  const { waits, fail } = listened(() => ({ status: 404, code: "cutout_gone" }));
  const one = image("/img/1/cutout/thumb?v=a");
  await fail(one);
  assert.deepEqual([waits, one.told], [[], [["refused", "cutout_gone"]]]);
});

test("one that is there by now is asked for at once", async () => {
  const { waits, fail } = listened(() => null);
  const one = image("/img/1/cutout/thumb?v=a");
  await fail(one);
  assert.deepEqual([waits[0].ms, one.told], [0, []]);
});

test("one that nobody has words for is not asked why", async () => {
  const { waits, fail } = listened(() => assert.fail());
  await fail(Object.assign(image("/img/1/cutout/thumb?v=a"), { asksWhy: false }));
  assert.equal(waits[0].ms, 2000);
});

test("another picture in its place begins anew, and one that left the page is not asked for", async () => {
  const { waits, fail } = listened();
  const one = image("/img/1/cutout/thumb?v=a");
  await fail(one);
  one.source = "/img/2/cutout/thumb?v=b";
  waits[0].again();
  assert.deepEqual(one.asked, []);
  await fail(one);
  assert.equal(waits[1].ms, 2000);
  one.isConnected = false;
  waits[1].again();
  assert.deepEqual(one.asked, []);
});

test("tiles have a loader of their own, and other things fail for themselves", async () => {
  const { waits, fail } = listened();
  await fail(image("/img/1/cutout/0/1/2?v=a"));
  await fail({ tagName: "SCRIPT" });
  assert.deepEqual(waits, []);
});
