import assert from "node:assert/strict";
import { test } from "node:test";
import { PictureList } from "../../../src/cutoutd/page/static/js/review/picture-list.js";

const picture = (job, more = {}) => ({ job, seen: `s${job}`, state: "review", ...more });

// A backend with so many pictures, the doubtful first; what has left the filter is asked for by its number alone.
function backend(count) {
  const asked = [];
  const left = new Set();
  const there = () => Array.from({ length: count }, (_, i) => i + 1).filter((job) => !left.has(job));
  const read = async (method, params) => {
    asked.push([method, params]);
    if (method === "job") return picture(params.job);
    if (method === "job_ids") return { ids: there(), seen: there().map((job) => `s${job}`) };
    const jobs = there().slice(params.offset, params.offset + params.limit);
    return { total: there().length, jobs: jobs.map((job) => picture(job)) };
  };
  return { asked, left, read };
}

test("the first page is there before all numbers are", async () => {
  const { read } = backend(30000);
  const list = new PictureList(read);
  let first = null;
  list.addEventListener("loaded", () => (first = [list.count, list.at(0).job, list.complete]));
  await list.load({});
  assert.deepEqual(first, [30000, 1, false]);
  assert.equal(list.ids.length, 30000);
  assert.equal(list.seen(29999), "s30000");
});

test("what comes into sight is asked for a page at a time, and once", async () => {
  const { asked, read } = backend(1000);
  const list = new PictureList(read);
  await list.load({});
  await list.need(395, 405);
  await list.need(396, 406);
  assert.equal(list.at(400).job, 401);
  assert.deepEqual(asked.filter(([method]) => method === "jobs").map(([, params]) => params.offset), [0, 200, 400]);
});

test("what left the filter meanwhile stays in its place and is asked for by its number", async () => {
  const { asked, left, read } = backend(1000);
  const list = new PictureList(read);
  await list.load({});
  for (let job = 1; job <= 250; job++) left.add(job);
  await list.need(240, 244);
  assert.deepEqual([240, 244].map((index) => list.at(index).job), [241, 245]);
  assert.equal(asked.filter(([method]) => method === "job").length, 5);
});

test("news of a picture of the list replace it, others are told of", async () => {
  const { read } = backend(3);
  const list = new PictureList(read);
  await list.load({});
  let others = null;
  list.addEventListener("others", ({ detail }) => (others = detail.map((one) => one.job)));
  list.update([picture(2, { state: "done", seen: "new" }), picture(77)]);
  assert.equal(list.at(1).state, "done");
  assert.equal(list.seen(1), "new");
  assert.deepEqual(others, [77]);
});

// A backend whose answers come when they are let go, as they were when they were asked for.
function slow(count) {
  const { read } = backend(count);
  const held = [];
  const later = async (method, params) => {
    const answer = await read(method, params);
    if (later.waits) await new Promise((resolve) => held.push(resolve));
    return answer;
  };
  return { held, later };
}

test("an answer that is older than an event replaces nothing newer, and adds what the event did not say", async () => {
  const { held, later } = slow(500);
  const list = new PictureList(later);
  await list.load({});
  later.waits = true;
  for (const ask of [() => list.need(200, 210), () => list.renew(202)]) {
    const asked = ask();
    while (held.length === 0) await Promise.resolve();
    list.update([{ job: 202, state: "done", seen: "new" }]);
    held.pop()();
    await asked;
    assert.deepEqual([list.at(201).state, list.seen(201)], ["done", "new"]);
    assert.equal(list.at(202).state, "review");
  }
});

test("an event that comes before the first page is not lost", async () => {
  const { held, later } = slow(3);
  const list = new PictureList(later);
  later.waits = true;
  const loaded = list.load({});
  while (held.length < 2) await Promise.resolve();
  list.update([{ job: 2, state: "done", seen: "new" }]);
  for (const release of held) release();
  await loaded;
  assert.deepEqual([list.at(1).state, list.seen(1)], ["done", "new"]);
});

test("of two answers the one to the later question counts, in whatever order they come", async () => {
  for (const order of [[0, 1], [1, 0]]) {
    const held = [];
    const list = new PictureList(async (method, params) => {
      if (method === "job_ids") return { ids: [1], seen: ["s1"] };
      if (method === "jobs") return { total: 1, jobs: [picture(1)] };
      const turn = held.length;
      await new Promise((resolve) => held.push(resolve));
      return picture(params.job, { state: `answer ${turn}` });
    });
    await list.load({});
    const both = [list.renew(1), list.renew(1)];
    for (const turn of order) {
      held[turn]();
      await both[turn];
    }
    assert.equal(list.at(0).state, "answer 1");
  }
});

test("an answer for an earlier filter is forgotten", async () => {
  let release;
  const slow = new Promise((resolve) => (release = resolve));
  const { read } = backend(5);
  const list = new PictureList(async (method, params) => {
    if (params.folder === "slow") await slow;
    return read(method, params);
  });
  const former = list.load({ folder: "slow" });
  await list.load({ folder: "quick" });
  release();
  await former;
  assert.deepEqual(list.filter, { folder: "quick" });
  assert.equal(list.ids.length, 5);
});

test("what matches now and is not in the list is noticed, and what has left it is not", async () => {
  const { left, read } = backend(3);
  left.add(2);
  const list = new PictureList(read);
  await list.load({});
  let behind = 0;
  list.addEventListener("behind", () => (behind += 1));
  left.add(1);
  await list.askForOthers();
  assert.equal(behind, 0);
  left.delete(2);
  await list.askForOthers();
  assert.equal(behind, 1);
});

test("a decision is about the cutout that was shown last, also while there is none", async () => {
  const { read } = backend(3);
  const list = new PictureList(read);
  await list.load({});
  list.update([picture(2, { seen: "new" })]);
  list.update([picture(2, { seen: "", state: "rejected" })]);
  assert.equal(list.at(1).seen, "");
  assert.equal(list.seen(1), "new");
});
