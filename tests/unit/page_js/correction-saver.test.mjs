import assert from "node:assert/strict";
import { test } from "node:test";
import { StoredValue } from "../../../src/cutoutd/page/static/js/core/stored-value.js";
import { CorrectionSaver } from "../../../src/cutoutd/page/static/js/fix/correction-saver.js";
import { memoryStorage } from "./stand-ins.mjs";

const failure = (status, code = "") => Object.assign(new Error(code), { status, code });
const first = { job: 7, seen: "v1", at: "1", state: "review", decision: "" };
const second = { ...first, seen: "v2", at: "2", state: "done" };

/* A saver on the first version, whose requests are answered one after the other; `now` is what the backend says of the picture. */
function setUp({ answers = [], now = first, stored = null } = {}) {
  const asked = [];
  const answer = async (method, request, body) => {
    asked.push([method, request, body]);
    const one = answers.shift() ?? {};
    if (one instanceof Error) throw one;
    return typeof one === "function" ? one() : one;
  };
  const session = { save: (strokes, suggestion, seen, request) => answer("save", request) };
  const api = { read: async () => now, write: (method, body, { request }) => answer("undo", request, body) };
  const saver = new CorrectionSaver({ number: 7, session, api, stored, signal: new AbortController().signal });
  saver.job = { ...first };
  saver.follows = true;
  const heard = [];
  saver.addEventListener("published", ({ detail }) => heard.push(detail.undone ? "undone" : "published"));
  saver.addEventListener("refused", ({ detail }) => heard.push(detail));
  saver.addEventListener("failed", ({ detail }) => heard.push(detail.code));
  saver.addEventListener("replaced", () => heard.push("replaced"));
  return { asked, heard, saver };
}

test("news that come before the answer are held back until it is there", async () => {
  let release;
  const { heard, saver } = setUp({ answers: [() => new Promise((resolve) => (release = resolve))] });
  const saving = saver.save(["a"], 0);
  saver.take(second);
  assert.deepEqual(heard, []);
  release({});
  await saving;
  assert.deepEqual(heard, ["published"]);
  assert.equal(saver.job.seen, "v2");
});

test("a save whose answer was lost is sent again under its id, and what was published meanwhile is its result", async () => {
  const { asked, heard, saver } = setUp({ answers: [failure(0)], now: second });
  await assert.rejects(saver.save(["a"], 0));
  assert.ok(saver.isSaveUnanswered);
  saver.follows = false;
  saver.take(second); // nobody knows yet whose result it is
  assert.equal(saver.job.seen, "v1");
  saver.follows = true;
  await saver.save(["a"], 0);
  assert.deepEqual(heard, ["published"]);
  assert.equal(asked[0][1], asked[1][1]);
});

test("other strokes are another change, and the former one may be published", async () => {
  const { asked, heard, saver } = setUp({ answers: [failure(0)], now: second });
  await assert.rejects(saver.save(["a"], 0));
  saver.strokesChanged();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["published"]);
  await saver.save(["a", "b"], 0);
  assert.notEqual(asked[0][1], asked.at(-1)[1]);
});

test("what is published after an undo is the former version, also if its answer was lost", async () => {
  const { asked, heard, saver } = setUp({ answers: [failure(0)], now: second });
  await assert.rejects(saver.undo());
  assert.ok(saver.isUndoUnanswered);
  await saver.undo();
  assert.deepEqual(heard, ["undone"]);
  assert.equal(asked[0][1], asked[1][1]);
  assert.ok(!saver.undoing);
  await saver.undo();
  assert.notEqual(asked[1][1], asked[2][1]);
});

test("an undo is about the cutout that is shown, and stays so until it has an answer", async () => {
  const { asked, saver } = setUp({ answers: [failure(0)], now: second });
  await assert.rejects(saver.undo());
  saver.follows = false;
  saver.undoing = true;
  await saver.take(second);
  assert.equal(saver.job.seen, "v2");
  await saver.undo();
  assert.deepEqual(asked.map(([, , body]) => body), Array(2).fill({ job: 7, seen: "v1" }));
  assert.equal(asked[0][1], asked[1][1]);
});

test("a refusal ends what was asked for", async () => {
  const { heard, saver } = setUp({ answers: [failure(409)] });
  await assert.rejects(saver.save(["a"], 0));
  assert.ok(!saver.isSaveUnanswered);
  await saver.undo();
  saver.take({ ...first, refused: "The disk is full." });
  assert.deepEqual(heard, ["The disk is full."]);
  assert.ok(!saver.undoing);
});

test("strokes that leave the cutout as it was are published all the same", async () => {
  const { heard, saver } = setUp();
  await saver.save(["a"], 0);
  await saver.take({ ...first, at: "2", decision: "fix" }); // asked for, and not cut yet
  assert.deepEqual(heard, []);
  await saver.take({ ...first, at: "3" });
  assert.deepEqual(heard, ["published"]);
});

test("while somebody draws, the next save is about the cutout that is shown, so that one over another is refused", async () => {
  const { heard, saver } = setUp();
  saver.follows = false;
  await saver.take(second);
  assert.deepEqual([heard, saver.job.seen], [[], "v1"]);
});

test("a new cutout after a save is its result only once cutoutd has taken the save", async () => {
  const { asked, heard, saver } = setUp({ answers: [{ pending: true }, { pending: true }, { pending: false }] });
  await saver.save(["a"], 0);
  await saver.take(second); // somebody else's
  assert.deepEqual([heard, saver.job.seen], [[], "v1"]);
  await saver.take({ ...second, seen: "v3", at: "3" });
  assert.deepEqual([heard, saver.job.seen], [["published"], "v3"]);
  assert.equal(new Set(asked.map(([, request]) => request)).size, 1);
});

test("a save that is refused since the new cutout is somebody else's is not called published", async () => {
  const { heard, saver } = setUp({ answers: [{ pending: true }, failure(409, "fix_refused")] });
  await saver.save(["a"], 0);
  await saver.take(second);
  assert.deepEqual([heard, saver.job.seen], [["fix_refused"], "v1"]);
});

test("a new cutout of a picture on which nothing was saved since is somebody else's", async () => {
  const { heard, saver } = setUp();
  await saver.save(["a"], 0);
  await saver.take(second);
  await saver.take({ ...second, seen: "v3", at: "3" });
  assert.deepEqual(heard, ["published", "replaced"]);
});

test("strokes whose saving had no answer are the same change after a reload, if they are saved again", async () => {
  const storage = memoryStorage();
  const before = setUp({ answers: [failure(0)], stored: new StoredValue(storage, "requests") });
  await assert.rejects(before.saver.save(["a"], 0));
  const after = setUp({ stored: new StoredValue(storage, "requests") });
  assert.ok(!after.saver.isSaveUnanswered); // the person decides whether they are saved
  await after.saver.save(["a"], 0);
  assert.equal(after.asked[0][1], before.asked[0][1]);
});
