/**
 * Saves the strokes of one picture and takes what was saved back, and finds out from the picture's news when the result is there. Draws
 * nothing, and knows no strokes but those that it is given.
 *
 * Until a request has its answer, nobody knows whether news are about its result or about another one before it: they are held back.
 */

import { IdempotentRequests } from "../core/idempotent-request.js";

export class CorrectionSaver extends EventTarget {
  // Events: "published" with {undone} when `job` has a new cutout, "refused" with the reason in words, "failed" with the error of a save
  // that was refused after its answer, "replaced" when the cutout is somebody else's.
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
    this.saving = null; // the save whose result is not there yet: its request's id and what was sent
  }

  async save(strokes, suggestion) {
    const { seen } = this.job;
    const again = this.isSaveUnanswered;
    this.undoing = false;
    this.requests.forget("undo");
    await this.#send("save", [strokes, suggestion, seen], (request) => {
      this.saving = [strokes, suggestion, seen, request];
      return this.session.save(...this.saving);
    });
    await this.#answered(again);
  }

  async undo() {
    const again = this.isUndoUnanswered;
    const [seen] = this.requests.unanswered("undo") ?? [this.job.seen];
    this.undoing = true;
    try {
      await this.#send("undo", [seen], (request) => this.api.write("fix_undo", { job: this.number, seen }, { request }));
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

  /** News of the picture. Of a cutout that is not shown only the result of an undo is known: the save over another one is refused. */
  async take(job) {
    if (!job || this.signal.aborted) return;
    if (this.isAsking) this.heldBack = job;
    else if (this.follows) await this.#follow(job);
    else if (this.job && this.undoing) Object.assign(this.job, { seen: job.seen, at: job.at });
  }

  /** Takes the news that were held back. */
  async takeHeldBack() {
    const { heldBack } = this;
    this.heldBack = null;
    await this.take(heldBack);
  }

  /** Whether a save was refused because somebody else has replaced the cutout that is shown. */
  async isReplaced(error) {
    if (!["cutout_changed", "fix_refused"].includes(error.code)) return false;
    const job = await this.api.read("job", { job: this.number }, { signal: this.signal }).catch(() => null);
    return Boolean(job?.seen) && job.seen !== this.job.seen;
  }

  /** Asks for the picture's news. */
  async renew() {
    await this.take(await this.api.read("job", { job: this.number }, { signal: this.signal }).catch(() => null));
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
    await this.takeHeldBack();
    if (again) await this.renew(); // the result may have been there before this answer
  }

  async #follow(job) {
    if (job.refused) {
      this.undoing = false;
      this.dispatchEvent(new CustomEvent("refused", { detail: job.refused }));
      return;
    }
    // Strokes may leave the cutout as it was, such as paint where it is solid already: then its time alone is another.
    const isCutAgain = ["done", "review"].includes(job.state) && job.decision !== "fix" && job.at !== this.job.at;
    if (!job.seen || (job.seen === this.job.seen && !isCutAgain)) return;
    const undone = this.undoing;
    if (!undone && !(await this.#isResult(job))) return;
    this.saving = null;
    this.undoing = false;
    this.requests.forget("undo");
    this.job = { ...this.job, ...job };
    this.dispatchEvent(new CustomEvent("published", { detail: { undone } }));
  }

  // Whether a new cutout is that of the strokes that were saved. It may be somebody else's, after which cutoutd refuses these.
  async #isResult(job) {
    const { saving } = this;
    if (!saving) {
      if (job.seen !== this.job.seen) this.dispatchEvent(new Event("replaced"));
      return false;
    }
    try {
      const { pending } = await this.session.save(...saving);
      return !pending && this.saving === saving;
    } catch (error) {
      const isRefused = error.status >= 400 && error.status < 500;
      if (isRefused && this.saving === saving) {
        this.saving = null;
        this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      }
      return false; // if there was no answer, it is asked again once somebody answers
    }
  }
}
