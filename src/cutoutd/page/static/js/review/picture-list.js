/**
 * The pictures that match a filter, as they were when it was set: what is decided stays in its place until the list is loaded again.
 * Loads what is looked at, page by page. `read(method, params)` asks the backend. Shows nothing.
 */

const PAGE = 200;
const AT_ONCE = 4;

export class PictureList extends EventTarget {
  // Events: "loaded" when the list is another, "details" when pictures of it are known, "others" with pictures of an update
  // that are not in it, "behind" when others match the filter by now.
  constructor(read) {
    super();
    this.read = read;
    this.questions = new Set(); // of those that have no answer yet, in their order: what was heard of pictures since they were asked
    this.#empty();
  }

  get count() {
    return this.complete ? this.ids.length : this.total;
  }

  /** What is known of the picture at an index: a JOB, or undefined. */
  at(index) {
    return this.details.get(this.ids[index]);
  }

  index(job) {
    return this.ids.indexOf(job);
  }

  /** The SHA-256 of the cutout that was shown last, also while there is none; a decision carries it. */
  seen(index) {
    return this.at(index)?.seen || this.saw.get(this.ids[index]) || this.hashes[index] || "";
  }

  /** Loads the list; the first page is there before the other ids. */
  async load(filter, signal) {
    this.#empty();
    this.filter = filter;
    const turn = this.turn;
    const [page, all] = [this.#ask("jobs", { ...filter, offset: 0, limit: PAGE }, { signal }), this.read("job_ids", filter, { signal })];
    all.catch(() => {});
    const { total, jobs } = await page;
    if (turn !== this.turn) return;
    this.total = total;
    this.ids = jobs.map((one) => one.job);
    this.hashes = jobs.map((one) => one.seen);
    this.#know(jobs);
    this.complete = jobs.length >= total;
    this.dispatchEvent(new Event("loaded"));
    const { ids, seen } = await all;
    if (turn !== this.turn) return;
    this.ids = ids;
    this.hashes = seen;
    this.complete = true;
    this.total = ids.length;
    // A picture that is just being published anew is in one of the two answers alone: the list was not empty, or is so now.
    this.dispatchEvent(new Event((total === 0) === (ids.length === 0) ? "details" : "loaded"));
  }

  /** Loads what is not known from first to last. */
  async need(first, last) {
    const turn = this.turn;
    const pages = new Set();
    for (let i = Math.max(0, first); i <= Math.min(last, this.count - 1); i++) {
      if (!this.at(i)) pages.add(Math.floor(i / PAGE));
    }
    for (const page of pages) {
      if (this.asked.has(page)) continue;
      this.asked.add(page);
      const { jobs } = await this.#ask("jobs", { ...this.filter, offset: page * PAGE, limit: PAGE });
      if (turn !== this.turn) return;
      this.#know(jobs);
      this.dispatchEvent(new Event("details"));
    }
    if (this.complete) await this.#single(first, last, turn);
  }

  /** New states of pictures, from an event. */
  update(jobs) {
    this.#note(jobs);
    this.#take(jobs);
  }

  #take(jobs) {
    const ours = jobs.filter((one) => this.details.has(one.job) || this.ids.includes(one.job));
    for (const one of ours) this.#know([{ ...this.details.get(one.job), ...one }]);
    if (ours.length > 0) this.dispatchEvent(new Event("details"));
    const others = jobs.filter((one) => !ours.includes(one));
    if (others.length > 0) this.dispatchEvent(new CustomEvent("others", { detail: others }));
  }

  /** Asks whether other pictures match by now: events that came while nobody listened were missed. */
  async askForOthers() {
    const turn = this.turn;
    const { ids } = await this.read("job_ids", this.filter);
    const known = new Set(this.ids);
    if (turn === this.turn && ids.some((job) => !known.has(job))) this.dispatchEvent(new Event("behind"));
  }

  async renew(job) {
    const turn = this.turn;
    const news = await this.#ask("job", { job });
    if (turn === this.turn) this.#take([news]);
    return news;
  }

  // An answer may be older than what was heard meanwhile, by an event or as the answer to a later question: that replaces its values.
  async #ask(method, params, options) {
    const heard = new Map();
    this.questions.add(heard);
    try {
      const answer = await this.read(method, params, options);
      this.#note(answer.jobs ?? [answer], heard);
      const newest = (one) => (heard.has(one.job) ? { ...one, ...heard.get(one.job) } : one);
      return answer.jobs ? { ...answer, jobs: answer.jobs.map(newest) } : newest(answer);
    } finally {
      this.questions.delete(heard);
    }
  }

  // For all questions that were asked before; without `last` for each that has no answer.
  #note(jobs, last = null) {
    for (const heard of this.questions) {
      if (heard === last) return;
      for (const one of jobs) heard.set(one.job, { ...heard.get(one.job), ...one });
    }
  }

  // Pages move as pictures leave the filter: what a page did not bring is asked for by its number.
  async #single(first, last, turn) {
    const missing = this.ids.slice(Math.max(0, first), last + 1).filter((job) => !this.details.has(job) && !this.lone.has(job));
    for (const job of missing) this.lone.add(job);
    while (missing.length > 0) {
      const some = await Promise.allSettled(missing.splice(0, AT_ONCE).map((job) => this.#ask("job", { job })));
      if (turn !== this.turn) return;
      this.#know(some.filter((one) => one.status === "fulfilled").map((one) => one.value));
      this.dispatchEvent(new Event("details"));
    }
  }

  #know(jobs) {
    for (const one of jobs) {
      this.details.set(one.job, one);
      if (one.seen) this.saw.set(one.job, one.seen);
    }
  }

  #empty() {
    this.turn = (this.turn ?? 0) + 1;
    this.total = 0;
    this.ids = [];
    this.hashes = [];
    this.details = new Map();
    this.saw = new Map();
    this.asked = new Set([0]);
    this.lone = new Set();
    this.complete = false;
    this.filter = {};
  }
}
