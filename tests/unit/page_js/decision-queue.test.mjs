import assert from "node:assert/strict";
import { test } from "node:test";
import { StoredValue } from "../../../src/cutoutd/page/static/js/core/stored-value.js";
import { DecisionQueue } from "../../../src/cutoutd/page/static/js/review/decision-queue.js";
import { memoryStorage, noAnswer, nobody } from "./stand-ins.mjs";

const items = (...jobs) => jobs.map((job) => ({ job, seen: `hash-${job}` }));
const settled = () => new Promise((resolve) => setImmediate(resolve));

function backend(answer = () => ({})) {
  const asked = [];
  const requests = [];
  const write = async (method, body, { request } = {}) => {
    asked.push({ method, body });
    requests.push(request);
    return { batch: `b${asked.length}`, ...(await answer(method, body)) };
  };
  return { asked, requests, write };
}

test("a decision carries what was seen, and its mark says when it was carried out", async () => {
  const { asked, write } = backend();
  const decisions = new DecisionQueue(write);
  const sending = decisions.decide("accept", items(1, 2));
  assert.equal(decisions.mark(1).state, "sending");
  await sending;
  assert.deepEqual(asked[0].body, { verb: "accept", items: [[1, "hash-1"], [2, "hash-2"]] });
  assert.equal(decisions.mark(2).state, "sent");
  decisions.settle({ job: 2, state: "review", doubtful: true, decision: "accept" });
  assert.equal(decisions.mark(2).state, "sent");
  decisions.settle({ job: 2, state: "done", doubtful: false, decision: "" });
  assert.equal(decisions.mark(2).state, "done");
  decisions.settle({ job: 2, state: "rejected", doubtful: false, decision: "" });
  assert.equal(decisions.mark(2), undefined);
});

test("a thousand decisions are taken back as one", async () => {
  const { asked, write } = backend();
  const decisions = new DecisionQueue(write);
  await decisions.decide("accept", items(...Array.from({ length: 1000 }, (_, i) => i)));
  assert.equal(decisions.undo().length, 1000);
  await settled();
  assert.deepEqual(asked[1], { method: "undo", body: { batch: "b1" } });
  assert.equal(decisions.mark(5), undefined);
  assert.equal(decisions.undo(), null);
});

test("a conflict is marked with its words", async () => {
  const { write } = backend(() => ({ conflicts: [{ job: 2, code: "changed", text: "It is another one now." }] }));
  const decisions = new DecisionQueue(write);
  let heard = null;
  decisions.addEventListener("conflicts", ({ detail }) => (heard = detail));
  await decisions.decide("accept", items(1, 2));
  assert.equal(decisions.mark(1).state, "sent");
  assert.equal(decisions.mark(2).state, "conflict");
  assert.equal(heard.length, 1);
});

test("an undo is about what was decided, and not about what was refused", async () => {
  const taken = { 2: "reject" };
  const { asked, write } = backend((method, { items: sent }) => ({
    conflicts: method === "decide" ? sent.filter(([job]) => taken[job]).map(([job]) => ({ job, code: "decided", text: "Somebody rejected it." })) : [],
  }));
  const decisions = new DecisionQueue(write);
  await decisions.decide("accept", items(1, 2, 3));
  assert.deepEqual(decisions.undo(), [1, 3]);
  await settled();
  assert.deepEqual(asked[1], { method: "undo", body: { batch: "b1" } });
  assert.equal(decisions.mark(2).state, "conflict");
  assert.equal(decisions.over(2), undefined);
  await decisions.decide("accept", items(2));
  assert.equal(decisions.undo(), null);
});

test("what nobody answers is kept, and sent once somebody does", async () => {
  let there = false;
  const { asked, write } = backend(() => {
    if (!there) throw noAnswer();
    return {};
  });
  const decisions = new DecisionQueue(write);
  await decisions.decide("reject", items(7));
  await decisions.decide("accept", items(8));
  assert.equal(decisions.mark(7).state, "unsent");
  assert.equal(decisions.unsent, 2);
  there = true;
  await decisions.retry();
  assert.equal(decisions.unsent, 0);
  assert.deepEqual(asked.slice(-2).map((one) => one.body.verb), ["reject", "accept"]);
});

test("an unsent decision is undone without a word to anybody", async () => {
  const { asked, write } = backend(() => {
    throw noAnswer();
  });
  const decisions = new DecisionQueue(write);
  await decisions.decide("reject", items(7));
  decisions.decide("accept", items(8));
  await settled();
  decisions.undo();
  await settled();
  assert.equal(decisions.unsent, 1);
  assert.ok(asked.every(({ method, body }) => method === "decide" && body.verb === "reject"));
});

test("one that had no answer may have arrived, and is taken back once somebody answers", async () => {
  let there = false;
  const { asked, requests, write } = backend(() => {
    if (!there) throw noAnswer();
    return {};
  });
  const decisions = new DecisionQueue(write);
  await decisions.decide("reject", items(7));
  decisions.undo();
  await settled();
  assert.equal(decisions.unsent, 0);
  there = true;
  await decisions.retry();
  assert.deepEqual(asked.slice(-2).map((one) => one.method), ["decide", "undo"]);
  assert.equal(new Set(requests.slice(0, -1)).size, 1);
});

test("what is sent again goes under its name, also after a reload", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  const first = backend(() => {
    throw noAnswer();
  });
  await new DecisionQueue(first.write, kept).decide("accept", items(3));
  const second = backend();
  const after = new DecisionQueue(second.write, kept);
  await after.retry();
  assert.match(first.requests[0], /^[0-9a-f]{32}$/);
  assert.deepEqual(second.requests, first.requests);
  assert.ok(after.has("b1"));
  await after.decide("accept", items(4));
  assert.notEqual(second.requests[1], first.requests[0]);
});

test("an undo whose answer was lost is sent again, also after a reload", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  const first = backend((method) => {
    if (method === "undo") throw noAnswer();
    return {};
  });
  const before = new DecisionQueue(first.write, kept);
  await before.decide("accept", items(3));
  before.undo();
  await settled();
  const second = backend();
  await new DecisionQueue(second.write, kept).retry();
  assert.deepEqual(second.asked, [{ method: "undo", body: { batch: "b1" } }]);
  assert.deepEqual(second.requests, first.requests.slice(1));
});

test("a refused batch leaves no mark and cannot be undone", async () => {
  const { write } = backend(() => {
    throw Object.assign(new Error("no"), { status: 422, code: "bad" });
  });
  const decisions = new DecisionQueue(write);
  let heard = null;
  decisions.addEventListener("refused", ({ detail }) => (heard = detail));
  await decisions.decide("accept", items(1));
  assert.equal(heard.code, "bad");
  assert.equal(decisions.mark(1), undefined);
  assert.ok(!decisions.canUndo);
});

test("more than 50,000 go in several requests", async () => {
  const { asked, write } = backend();
  await new DecisionQueue(write).decide("accept", items(...Array.from({ length: 50001 }, (_, i) => i)));
  assert.deepEqual(asked.map((one) => one.body.items.length), [50000, 1]);
});

test("unsent decisions outlive a reload", async () => {
  const storage = memoryStorage();
  const kept = new StoredValue(storage, "out", []);
  await new DecisionQueue(nobody, kept).decide("accept", items(3));
  const { asked, write } = backend();
  const after = new DecisionQueue(write, kept);
  assert.equal(after.mark(3).state, "unsent");
  await after.retry();
  assert.deepEqual(asked[0].body.items, [[3, "hash-3"]]);
  assert.equal(storage.size, 0);
});

test("a decision names the one that it replaces", async () => {
  const { asked, write } = backend();
  await new DecisionQueue(write).decide("reject", [{ job: 1, seen: "h", over: "accept" }]);
  assert.deepEqual(asked[0].body.items, [[1, "h", "accept"]]);
});

test("one that is undone while it is on its way is kept over a reload as undone: it may have arrived", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  let fails = null;
  const decisions = new DecisionQueue(() => new Promise((_, reject) => (fails = reject)), kept);
  const sending = decisions.decide("reject", items(1));
  decisions.undo();
  decisions.decide("accept", items(2));
  fails(noAnswer());
  await sending;
  const [undone, meant] = kept.load();
  assert.deepEqual([undone.verb, typeof undone.undoing], ["reject", "string"]);
  assert.deepEqual([meant.verb, meant.items, meant.undoing], ["accept", items(2), undefined]);
  const { asked, write } = backend();
  await new DecisionQueue(write, kept).retry();
  assert.deepEqual(asked.map(({ method, body }) => [method, body.verb]), [["decide", "reject"], ["undo", undefined], ["decide", "accept"]]);
});

test("after an undo the decision before it holds, until the picture itself says what does", async () => {
  const { write } = backend();
  const decisions = new DecisionQueue(write);
  await decisions.decide("reject", [{ job: 1, seen: "h", over: "accept" }]);
  decisions.undo();
  assert.equal(decisions.over(1), "accept");
  decisions.settle({ job: 1, state: "rejected", doubtful: false, decision: "" }); // as it was before the undo
  assert.equal(decisions.over(1), "accept");
  await settled();
  decisions.settle({ job: 1, state: "done", doubtful: false, decision: "" });
  assert.equal(decisions.over(1), undefined);
});

test("what is asked for after decisions is asked after they are sent", async () => {
  const { asked, write } = backend();
  const decisions = new DecisionQueue(write);
  decisions.decide("accept", items(1));
  decisions.decide("reject", items(2));
  await decisions.inTurn(() => write("retry", { jobs: [2] }));
  assert.deepEqual(asked.map((one) => one.method), ["decide", "decide", "retry"]);
  await assert.rejects(decisions.inTurn(async () => { throw new Error("no"); }));
  await decisions.decide("accept", items(3));
  assert.equal(asked.length, 4);
});

test("what has no answer is written down when the tab is left", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  const sent = [];
  const decisions = new DecisionQueue((method, body, options) => (sent.push(options), new Promise(() => {})), kept);
  decisions.decide("accept", items(1));
  decisions.decide("reject", items(2));
  decisions.leave();
  const [{ request, keepalive }] = sent;
  assert.deepEqual([sent.length, keepalive], [1, true]); // the browser sends this one, whatever becomes of the tab
  assert.deepEqual(kept.load().map((one) => one.verb), ["accept", "reject"]);
  assert.equal(kept.load()[0].request, request);
});

test("what is sent after a leaving that was undone is not sent again at the next reload", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  const { write } = backend();
  const decisions = new DecisionQueue(write, kept);
  const sending = decisions.decide("accept", items(1));
  decisions.leave();
  assert.equal(kept.load().length, 1);
  await sending;
  assert.deepEqual(kept.load(), []);
});

test("one that is undone after a reload, before anybody has answered, may have arrived and is taken back", async () => {
  const kept = new StoredValue(memoryStorage(), "out", []);
  await new DecisionQueue(nobody, kept).decide("accept", items(3));
  const { asked, write } = backend();
  const after = new DecisionQueue(write, kept);
  after.undo();
  await settled();
  assert.deepEqual(asked.map(({ method }) => method), ["decide", "undo"]);
});
