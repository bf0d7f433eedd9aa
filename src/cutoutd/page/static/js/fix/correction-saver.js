/**
 * Saves the strokes of one picture and takes what was saved back, and finds out from the picture's news when the result is there. Draws
 * nothing, and knows no strokes but those that it is given.
 *
 * Until a request has its answer, nobody knows whether news are about its result or about another one before it: they are held back.
 */

import { IdempotentRequests } from "../core/idempotent-request.js";

export class CorrectionSaver extends EventTarget {
  // Events: "published" with {undone} when `job` has a new cutout, "refused" with the reason in words.
  // `api` is `{read, write}`; `stored` keeps ids of requests over a reload.
  constructor({ number, session, api, stored = null, signal }) {
    super();
    Object.assign(this, { number, session, api, signal });
    this.requests = new IdempotentRequests(stored);
    this.job = null; // with the cutout that is shown
    this.follows = false; // a new cutout is to be shown
    this.undoing = false; // it was asked for, and its result is not there yet
    this.isAsking = false;
    this.heldBack = null;
  }

  async save(strokes, suggestion) {
    const { seen } = this.job;
    const again = this.isSaveUnanswered;
    this.undoing = false;
    this.requests.forget("undo");
    await this.#send("save", [strokes, suggestion, seen], (request) => this.session.save(strokes, suggestion, seen, request));
    await this.#answered(again);
  }

  async undo() {
    const again = this.isUndoUnanswered;
    this.undoing = true;
    try {
      await this.#send("undo", null, (request) => this.api.write("fix_undo", { job: this.number }, { request }));
    } catch (error) {
      this.undoing = this.isUndoUnanswered;
      throw error;
    }
    await this.#answered(again);
  }

  get isSaveUnanswered() {
    return this.requests.isUnanswered("save");
  }

  get isUndoUnanswered() {
    return this.requests.isUnanswered("undo");
  }

  /** The strokes are others now: to save them is another change, and the former one may be published. */
  strokesChanged() {
    const mayBePublished = this.isSaveUnanswered;
    this.requests.forget("save");
    if (mayBePublished) this.renew();
  }

  /** News of the picture. */
  take(job) {
    if (!job || this.signal.aborted) return;
    if (this.isAsking) this.heldBack = job;
    else if (this.follows) this.#follow(job);
    else if (this.job && job.seen !== this.job.seen && !this.isSaveUnanswered) Object.assign(this.job, { seen: job.seen, at: job.at });
  }

  /** Takes the news that were held back. */
  takeHeldBack() {
    const { heldBack } = this;
    this.heldBack = null;
    this.take(heldBack);
  }

  /** Asks for the picture's news. */
  async renew() {
    this.take(await this.api.read("job", { job: this.number }, { signal: this.signal }).catch(() => null));
  }

  async #send(subject, intent, write) {
    this.isAsking = true;
    try {
      await this.requests.send(subject, intent, write);
    } finally {
      this.isAsking = false;
    }
  }

  async #answered(again) {
    this.takeHeldBack();
    if (again) await this.renew(); // the result may have been there before this answer
  }

  #follow(job) {
    if (job.refused) {
      this.undoing = false;
      this.dispatchEvent(new CustomEvent("refused", { detail: job.refused }));
      return;
    }
    // Strokes may leave the cutout as it was, such as paint where it is solid already: then its time alone is another.
    const isCutAgain = ["done", "review"].includes(job.state) && job.decision !== "fix" && job.at !== this.job.at;
    if (!job.seen || (job.seen === this.job.seen && !isCutAgain)) return;
    const undone = this.undoing;
    this.undoing = false;
    this.requests.forget("undo");
    this.job = { ...this.job, ...job };
    this.dispatchEvent(new CustomEvent("published", { detail: { undone } }));
  }
}
