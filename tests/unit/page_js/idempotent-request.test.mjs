import assert from "node:assert/strict";
import { test } from "node:test";
import { IdempotentRequest, IdempotentRequests } from "../../../src/cutoutd/page/static/js/core/idempotent-request.js";
import { StoredValue } from "../../../src/cutoutd/page/static/js/core/stored-value.js";

const failure = (status, code = "") => Object.assign(new Error(code), { status, code });

/* Answers one after the other: errors are thrown, all else is returned. `ids` are those that were sent. */
function backend(...answers) {
  const ids = [];
  const write = async (id) => {
    ids.push(id);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ids, write };
}

const sent = (requests, subject, intent, write) => requests.send(subject, intent, write).catch((error) => error);

test("what had no answer is sent again under its id, and gets the first answer", async () => {
  const requests = new IdempotentRequests();
  const { ids, write } = backend(failure(0), failure(503, "backend"), "done");
  await sent(requests, "a", [1], write);
  assert.deepEqual(requests.unanswered("a"), [1]);
  await sent(requests, "a", [1], write);
  assert.equal(await sent(requests, "a", [1], write), "done");
  assert.match(ids[0], /^[0-9a-f]{32}$/);
  assert.equal(new Set(ids).size, 1);
  assert.equal(requests.unanswered("a"), null);
});

test("what was answered is another change when it is asked for once more", async () => {
  const requests = new IdempotentRequests();
  const { ids, write } = backend("done", failure(409), "done");
  for (let i = 0; i < 3; i++) await sent(requests, "a", [1], write);
  assert.equal(new Set(ids).size, 3);
});

test("another intention has a new id, and so has another subject", async () => {
  const requests = new IdempotentRequests();
  const { ids, write } = backend(failure(0), failure(0), "done");
  await sent(requests, "a", [1], write);
  await sent(requests, "b", [1], write);
  assert.deepEqual(requests.unanswered("a"), [1]);
  await sent(requests, "a", [2], write);
  assert.equal(new Set(ids).size, 3);
});

test("what is forgotten is another change, though it is asked for in the same words", async () => {
  const requests = new IdempotentRequests();
  const { ids, write } = backend(failure(0), "done");
  await sent(requests, "a", null, write);
  requests.forget("a");
  assert.equal(requests.unanswered("a"), null);
  await sent(requests, "a", null, write);
  assert.equal(new Set(ids).size, 2);
});

test("a refusal before anybody looks at the id leaves what was sent before unanswered", async () => {
  const requests = new IdempotentRequests();
  const { ids, write } = backend(failure(0), failure(401), failure(429), "done");
  for (let i = 0; i < 4; i++) await sent(requests, "a", [1], write);
  assert.equal(new Set(ids).size, 1);
  const first = backend(failure(401));
  await sent(requests, "b", [1], first.write);
  assert.equal(requests.unanswered("b"), null);
});

test("what is being sent is not unanswered yet, but may have arrived", async () => {
  const request = new IdempotentRequest();
  let answer;
  const sending = request.send(() => new Promise((resolve) => (answer = resolve)));
  assert.deepEqual([request.mayHaveArrived, request.isUnanswered], [true, false]);
  answer("done");
  await sending;
  assert.deepEqual([request.mayHaveArrived, request.isUnanswered], [false, false]);
});

test("one that replaced it meanwhile is not forgotten with the answer to the former one", async () => {
  const requests = new IdempotentRequests();
  let answer;
  const first = requests.send("a", [1], () => new Promise((resolve) => (answer = resolve)));
  await sent(requests, "a", [2], async () => { throw failure(0); });
  answer("done");
  await first;
  assert.deepEqual(requests.unanswered("a"), [2]);
});

test("an id is kept over a reload where that is wanted, for the same intention", async () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  const stored = () => new StoredValue(storage, "requests");
  const { ids, write } = backend(failure(0), "done", "done");
  await sent(new IdempotentRequests(stored()), "a", [1], write);
  const after = new IdempotentRequests(stored());
  assert.equal(after.unanswered("a"), null); // nobody sends it again by itself
  await sent(after, "a", [1], write);
  await sent(new IdempotentRequests(stored()), "a", [1], write);
  assert.deepEqual([ids[1] === ids[0], ids[2] === ids[0]], [true, false]);
});
