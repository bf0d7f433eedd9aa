import assert from "node:assert/strict";
import { test } from "node:test";
import { PointerInput } from "../../../src/cutoutd/page/static/js/viewer/pointer-input.js";

const PEN = 1;
const PALM = 2;

function drawing() {
  const element = Object.assign(new EventTarget(), {
    dataset: {},
    getBoundingClientRect: () => ({ left: 0, top: 0 }),
    setPointerCapture: () => {},
  });
  const did = [];
  const note = (what) => () => did.push(what);
  const zoom = { zoomTo: note("zoom"), pan: note("pan"), place: { scale: 1 }, fits: true };
  const input = new PointerInput({ element, handle: new EventTarget(), ...zoom });
  const tool = { begin: note("begin"), move: note("move"), end: note("end"), cancel: note("cancel"), hover: () => {} };
  input.tool = { ...tool, wants: (event) => event.isPrimary && event.button === 0 };
  const send = (name, pointerType, pointerId, clientX = 0) =>
    element.dispatchEvent(
      Object.assign(new Event(`pointer${name}`), { pointerType, pointerId, clientX, clientY: 0, button: 0, isPrimary: true }),
    );
  return { did, send };
}

test("a palm beside the pen ends no stroke", () => {
  const { did, send } = drawing();
  send("down", "pen", PEN);
  send("down", "touch", PALM, 80);
  send("move", "touch", PALM, 90);
  send("move", "pen", PEN, 20);
  send("up", "touch", PALM, 90);
  send("up", "pen", PEN, 20);
  assert.deepEqual(did, ["begin", "move", "end"]);
});

test("a palm that lies there before the pen draws nothing, and the pen does", () => {
  const { did, send } = drawing();
  send("down", "touch", PALM, 80);
  send("down", "pen", PEN);
  send("move", "touch", PALM, 90);
  send("move", "pen", PEN, 20);
  send("up", "pen", PEN, 20);
  send("up", "touch", PALM, 90);
  assert.deepEqual(did, ["begin", "cancel", "begin", "move", "end"]);
});

test("two fingers without a pen zoom", () => {
  const { did, send } = drawing();
  send("down", "touch", PALM, 80);
  send("down", "touch", PALM + 1);
  send("move", "touch", PALM, 90);
  assert.deepEqual(did, ["begin", "cancel", "zoom", "pan"]);
});

test("a finger draws once the pen is gone", () => {
  const { did, send } = drawing();
  send("down", "pen", PEN);
  send("cancel", "pen", PEN);
  send("down", "touch", PALM);
  send("up", "touch", PALM);
  assert.deepEqual(did, ["begin", "cancel", "begin", "end"]);
});
