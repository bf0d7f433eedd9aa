import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerOrder } from "../../../src/cutoutd/page/static/js/core/answer-order.js";

test("answers that come in order are all news", () => {
  const order = new AnswerOrder();
  assert.deepEqual([order.ask(), order.ask()].map((isNews) => isNews()), [true, true]);
});

test("an answer to an earlier question is dropped once a later one has its answer", () => {
  const order = new AnswerOrder();
  const [first, second, third] = [order.ask(), order.ask(), order.ask()];
  assert.equal(second(), true);
  assert.equal(first(), false);
  assert.equal(third(), true);
});

test("a question without an answer holds up none", () => {
  const order = new AnswerOrder();
  order.ask();
  assert.equal(order.ask()(), true);
  assert.equal(order.ask()(), true);
});
