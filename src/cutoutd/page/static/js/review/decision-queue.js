/**
 * Decisions of this tab: sent one batch after the other, kept while nobody answers, undone as a whole. What had no answer is sent again as
 * the same request, also after the tab was loaded anew: it is decided once. Pure but for what it is given: `write(method, body, { request })`
 * rejects with `{status: 0}` where there is no answer; `stored` is a StoredValue.
 *
 *   decisions.decide("accept", [{job, seen, over}, ...])   `over`: the decision that was shown and is replaced, or ""
 *   decisions.mark(job)     {verb, state: "sending" | "unsent" | "sent" | "conflict", text} or undefined
 *   decisions.over(job)     the decision that holds since another one was undone, "" for none; undefined: the picture itself says
 *   decisions.undo()        the jobs of the batch that is taken back, or null
 *   decisions.inTurn(run)   runs what is asked once all before it are sent; a promise of its value
 */

import { IdempotentRequest } from "../core/idempotent-request.js";

const MOST = 50000; // items in one request
const MOST_ON_LEAVING = 400; // of a request that goes on when the tab is closed: browsers allow 64 KiB. It is sent again all the same

export class DecisionQueue extends EventTarget {
  // Events: "change" with the jobs, "conflicts" with those, "refused" with an error, "undone" with the jobs, "waiting" while nobody answers.
  #marks = new Map();
  #restored = new Map(); // the decision that an undo brings back, until the picture itself says so
  #batches = [];
  #ids = new Set();
  #queue = [];
  #busy = false;
  #waits = false; // until somebody answers again
  #hasStored = false;

  constructor(write, stored = null) {
    super();
    this.write = write;
    this.stored = stored;
    const before = stored?.load() ?? [];
    this.#waits = this.#hasStored = before.length > 0;
    for (const one of before) this.#restore(one);
  }

  mark(job) {
    return this.#marks.get(job);
  }

  over(job) {
    return this.#restored.get(job)?.over;
  }

  /** Batches that nobody has answered yet. */
  get unsent() {
    return this.#queue.filter(({ what, batch }) => what === "decide" && !batch.isUndone).length;
  }

  get canUndo() {
    return this.#batches.length > 0;
  }

  decide(verb, items) {
    for (let from = 0; from < items.length; from += MOST) this.#add(verb, items.slice(from, from + MOST), "sending");
    this.#changed(items);
    return this.#work();
  }

  /** Takes the last batch back, as a whole: one that was not sent is forgotten, one that had no answer is sent again before. */
  undo() {
    const batch = this.#batches.at(-1);
    if (!batch) return null;
    this.#undone(batch);
    this.#keep();
    this.#changed(batch.items);
    this.#work();
    return batch.items.map((one) => one.job);
  }

  #undone(batch) {
    this.#batches.pop();
    batch.isUndone = true;
    for (const { job, over = "" } of batch.items) {
      this.#marks.delete(job);
      this.#restored.set(job, { over, batch });
    }
    if (batch.id !== null || batch.request.mayHaveArrived) this.#queue.push({ what: "undo", batch });
    else {
      this.#queue = this.#queue.filter((one) => one.batch !== batch);
      batch.isTakenBack = true;
    }
  }

  inTurn(run) {
    return new Promise((resolve, reject) => {
      this.#queue.push({ what: "other", run, resolve, reject, batch: { items: [] } });
      this.#work();
    });
  }

  /** Sends again what is kept; call it when somebody answers again. */
  retry() {
    return this.#work();
  }

  /** Writes down what has no answer yet, since the tab may be reloaded or closed. */
  leave() {
    const left = this.#left();
    if (left.length === 0) return;
    this.stored?.save(left);
    this.#hasStored = true; // the person may stay on the page
  }

  /** Whether a batch is of this tab. */
  has(id) {
    return this.#ids.has(id);
  }

  /** What is known of a picture now: a decision of ours was carried out, or is no longer true. */
  settle(job) {
    if (this.#restored.get(job.job)?.batch.isTakenBack) this.#restored.delete(job.job);
    const mark = this.#marks.get(job.job);
    if (!mark || job.decision || (mark.state !== "sent" && mark.state !== "done")) return;
    if (isAsDecided(job, mark.verb)) this.#marks.set(job.job, { ...mark, state: "done" });
    else if (mark.state === "done") this.#marks.delete(job.job);
  }

  /** Forgets what was carried out: a list that is loaded anew shows it. */
  forget() {
    for (const [job, { state }] of this.#marks) if (state === "done") this.#marks.delete(job);
  }

  #restore({ verb, items, request, undoing, id = null }) {
    const sent = (name) => new IdempotentRequest({ id: name, mayHaveArrived: true });
    if (id !== null) this.#queue.push({ what: "undo", batch: { verb, items, id, undoing: sent(undoing), isUndone: true } });
    else {
      this.#add(verb, items, "unsent", sent(request));
      if (undoing) this.#undone(Object.assign(this.#batches.at(-1), { undoing: sent(undoing) }));
    }
  }

  #add(verb, items, state, request = new IdempotentRequest()) {
    const batch = { verb, items, id: null, request, undoing: new IdempotentRequest() };
    for (const { job } of items) {
      this.#marks.set(job, { verb, state, batch });
      this.#restored.delete(job);
    }
    this.#batches.push(batch);
    this.#queue.push({ what: "decide", batch });
    if (this.#waits) this.#keep();
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#queue.length > 0) {
      const [first] = this.#queue;
      try {
        await this.#do(first);
      } catch (error) {
        if (first.what === "other") first.reject(error);
        else if (error.status === 0 || error.status === 503) {
          this.#waits = true;
          for (const { what, batch } of this.#queue) if (what === "decide") this.#state(batch, "unsent");
          this.#keep();
          this.dispatchEvent(new Event("waiting"));
          break;
        } else this.#refused(first, error);
      }
      this.#waits = false;
      this.#queue.shift();
      this.#keep();
      this.#changed(first.batch.items);
    }
    this.#busy = false;
  }

  async #do({ what, batch, run, resolve }) {
    if (what === "other") resolve(await run());
    else await (what === "decide" ? this.#send(batch) : this.#takeBack(batch));
  }

  async #send(batch) {
    const items = batch.items.map(({ job, seen, over }) => (over ? [job, seen, over] : [job, seen]));
    const keepalive = items.length <= MOST_ON_LEAVING;
    const { batch: id, conflicts = [] } = await batch.request.send((request) => this.write("decide", { verb: batch.verb, items }, { request, keepalive }));
    batch.id = id;
    this.#ids.add(id);
    const refused = new Map(conflicts.map((one) => [one.job, one]));
    for (const { job } of batch.items) {
      const mark = this.#marks.get(job);
      if (mark?.batch !== batch) continue;
      const conflict = refused.get(job);
      this.#marks.set(job, conflict ? { ...mark, ...conflict, state: "conflict" } : { ...mark, state: "sent" });
    }
    if (conflicts.length > 0 && !batch.isUndone) this.#leaveOut(batch, refused, conflicts);
  }

  // Nothing was decided about these: there is nothing of them to take back.
  #leaveOut(batch, refused, conflicts) {
    this.#changed(batch.items);
    batch.items = batch.items.filter(({ job }) => !refused.has(job));
    if (batch.items.length === 0) this.#batches = this.#batches.filter((one) => one !== batch);
    this.dispatchEvent(new CustomEvent("conflicts", { detail: conflicts }));
  }

  async #takeBack(batch) {
    batch.isTakenBack = batch.id === null; // refused as a whole: nothing was decided
    if (batch.isTakenBack) return;
    const { conflicts = [] } = await batch.undoing.send((request) => this.write("undo", { batch: batch.id }, { request, keepalive: true }));
    batch.isTakenBack = true;
    this.dispatchEvent(new CustomEvent("undone", { detail: batch.items.map((one) => one.job) }));
    if (conflicts.length > 0) this.dispatchEvent(new CustomEvent("conflicts", { detail: conflicts }));
  }

  #refused({ what, batch }, error) {
    if (what === "decide") {
      for (const { job } of batch.items) if (this.#marks.get(job)?.batch === batch) this.#marks.delete(job);
      const at = this.#batches.indexOf(batch);
      if (at >= 0) this.#batches.splice(at, 1);
    }
    this.dispatchEvent(new CustomEvent("refused", { detail: error }));
  }

  #state(batch, state) {
    for (const { job } of batch.items) {
      const mark = this.#marks.get(job);
      if (mark?.batch === batch) this.#marks.set(job, { ...mark, state });
    }
    this.#changed(batch.items);
  }

  // Only what had no answer: storing 30,000 decisions takes longer than sending them.
  #keep() {
    if (this.#waits || this.#hasStored) {
      const left = this.#left();
      if (left.length > 0) this.stored?.save(left);
      else this.stored?.remove();
    }
    this.#hasStored = this.#waits;
  }

  // What is still to be sent, or had no answer.
  #left() {
    const left = [];
    for (const { what, batch } of this.#queue) {
      const { verb, items, id, request, undoing, isUndone } = batch;
      if (what === "decide") left.push({ verb, items, request: request.id, ...(isUndone ? { undoing: undoing.id } : {}) });
      if (what === "undo" && id !== null) left.push({ verb, items, id, undoing: undoing.id });
    }
    return left;
  }

  #changed(items) {
    this.dispatchEvent(new CustomEvent("change", { detail: items.map((one) => one.job) }));
  }
}

function isAsDecided({ state, doubtful }, verb) {
  if (verb === "accept") return state === "done" && !doubtful;
  if (verb === "reject") return state === "rejected";
  return state === "review" || (verb === "undecided" ? state === "done" : Boolean(doubtful));
}
