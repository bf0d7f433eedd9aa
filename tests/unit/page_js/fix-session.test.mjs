import assert from "node:assert/strict";
import { test } from "node:test";
import { FixSession } from "../../../src/cutoutd/page/static/js/fix/fix-session.js";

const headers = (changed) => new Headers({ "X-Changed": changed });
const failure = (status, code) => Object.assign(new Error(code), { status, code });

function api({ preview = () => ({ blob: "matte", headers: headers("1") }), version = () => "v1" } = {}) {
  const asked = [];
  let count = 0;
  return {
    asked,
    write: async (method, body, options) => {
      asked.push([method, body, options]);
      if (method === "fix_start") return { fix: `f${++count}`, version: version(), width: 10, height: 10, strokes: [] };
      return {};
    },
    writeForBlob: async (method, body) => {
      asked.push([method, body]);
      return preview(body);
    },
  };
}

test("a preview says whether anything changed", async () => {
  const session = new FixSession(api({ preview: () => ({ blob: "m", headers: headers("0") }) }), 1);
  let heard;
  session.addEventListener("preview", ({ detail }) => (heard = detail));
  await session.preview(["a"], 0);
  assert.equal(heard.changed, false);
  assert.ok(!session.behind);
});

test("while one preview is made, only the newest strokes wait", async () => {
  const release = [];
  const fake = api({ preview: () => new Promise((resolve) => release.push(() => resolve({ blob: "m", headers: headers("1") }))) });
  const session = new FixSession(fake, 1);
  await session.start();
  const heard = [];
  session.addEventListener("preview", ({ detail }) => heard.push(detail.strokes));
  const done = session.preview(["1"], 0);
  session.preview(["1", "2"], 0);
  session.preview(["1", "2", "3"], 0);
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    release.shift()?.();
  }
  await done;
  assert.deepEqual(heard, [["1"], ["1", "2", "3"]]);
});

test("a session that has ended is started again, with the same strokes", async () => {
  let ended = true;
  const fake = api({
    preview: (body) => {
      if (ended) {
        ended = false;
        throw failure(404, "fix_ended");
      }
      return { blob: body.fix, headers: headers("1") };
    },
  });
  const session = new FixSession(fake, 1);
  await session.start();
  let heard;
  session.addEventListener("preview", ({ detail }) => (heard = detail));
  await session.preview(["s"], 1);
  assert.equal(heard.blob, "f2");
  assert.deepEqual(heard.strokes, ["s"]);
  assert.equal(heard.suggestion, 1);
});

test("a session that always ends becomes an error", async () => {
  const session = new FixSession(api({ preview: () => { throw failure(410, "fix_ended"); } }), 1);
  let trouble;
  session.addEventListener("trouble", ({ detail }) => (trouble = detail));
  await session.preview([], 0);
  assert.equal(trouble.status, 410);
});

test("a source that was replaced in between is said, and not painted over", async () => {
  const versions = ["v1", "v2"];
  const fake = api({ version: () => versions.shift(), preview: () => { throw failure(404, "fix_ended"); } });
  const session = new FixSession(fake, 1);
  await session.start();
  let trouble;
  session.addEventListener("trouble", ({ detail }) => (trouble = detail));
  await session.preview([], 0);
  assert.equal(trouble.code, "source_changed");
});

test("strokes that had no answer are sent again", async () => {
  let there = false;
  const fake = api({ preview: () => { if (!there) throw failure(0, "no_answer"); return { blob: "m", headers: headers("1") }; } });
  const session = new FixSession(fake, 1);
  await session.preview(["s"], 0);
  assert.ok(session.behind);
  there = true;
  let heard;
  session.addEventListener("preview", ({ detail }) => (heard = detail));
  await session.retry();
  assert.deepEqual(heard.strokes, ["s"]);
});

test("strokes that are saved again are sent under the same name", async () => {
  const fake = api();
  const session = new FixSession(fake, 1);
  await session.save(["a"], 0, "seen", "n");
  await session.save(["a"], 0, "seen", "n");
  const saved = fake.asked.filter(([method]) => method === "fix_save");
  assert.deepEqual(saved.map(([, , options]) => options), [{ request: "n" }, { request: "n" }]);
});
