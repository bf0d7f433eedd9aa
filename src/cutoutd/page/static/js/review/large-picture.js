/**
 * The large picture of Review: what is known of it, its tiles, its neighbours' tiles ahead, and a small picture until then. It knows
 * neither the list nor decisions.
 */

import { picture, read } from "../core/api.js";
import { el } from "../core/dom.js";
import { errorText, t } from "../core/text.js";
import { PyramidCache } from "../viewer/pyramid-cache.js";

const RETRY_MS = 4000; // a share may answer again, or a cutout have been published meanwhile; each time twice as long
const LONGEST_RETRY_MS = 60_000;

/** The small picture of a job: of its cutout, or of its source where there is none. */
export function thumbOf(job) {
  return job.seen ? picture.thumb(job.job, "cutout", job.seen) : picture.thumb(job.job, "source", job.job);
}

export class LargePicture {
  constructor(viewer) {
    this.viewer = viewer;
    this.pyramids = new PyramidCache();
    this.poster = el("img", { class: "poster", alt: "", hidden: true });
    this.message = el("div", { class: "viewer-message", role: "status", hidden: true });
    this.viewer.backdropElement.before(this.poster);
    this.viewer.element.append(this.message);
    this.viewer.addEventListener("failed", () => {
      this.say(t("review.tileFailed"));
      this.#retryLater();
    });
    this.viewer.addEventListener("kinds", () => this.#missing());
    this.shown = null;
    this.turn = 0;
    read("prepare").catch(() => {}); // the processes that make tiles start while the list is fetched
  }

  /** Shows a job, with `label` for those who do not see it; nothing happens where it is shown already. */
  async show(job, label) {
    this.viewer.element.setAttribute("aria-label", label);
    const same = this.shown?.job === job.job;
    if (same && this.shown.seen === job.seen) return;
    this.shown = { job: job.job, seen: job.seen };
    this.retryMs = RETRY_MS;
    this.say("");
    await this.#look(job, same);
  }

  async #look(job, same) {
    this.job = job;
    const turn = ++this.turn;
    const kinds = this.#kinds(job);
    const entry = this.#entry(job);
    if (!kinds.every((kind) => entry.pyramids[kind])) {
      if (!same) this.#showPoster(job);
      await this.pyramids.need(job, this.#needed(job));
      if (turn !== this.turn) return;
      await this.#failedLook(job, entry, kinds);
      if (turn !== this.turn) return;
    } else this.say("");
    this.poster.hidden = true;
    this.viewer.show(entry, { stay: same });
  }

  // What cannot be shown is asked for again for as long as it is looked at.
  #retryLater() {
    const { turn, job, retryMs } = this;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => turn === this.turn && job && this.#look(job, true), retryMs);
    this.retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
  }

  blank() {
    this.turn++;
    this.shown = this.job = null;
    this.viewer.clear();
    this.poster.hidden = true;
    this.say("");
  }

  /** Fetches what is likely to be looked at next: other pictures in this order, then the source of this one. */
  async ahead(jobs) {
    const { turn, job } = this;
    const entries = [];
    for (const one of jobs) {
      await this.pyramids.need(one, this.#needed(one));
      if (turn !== this.turn) return;
      entries.push(this.#entry(one));
      this.viewer.ahead(entries);
    }
    const { pyramids, address, frame } = await this.pyramids.need(job, ["source"]);
    if (turn === this.turn) this.viewer.ahead([...entries, { pyramids, address, frame, kinds: ["source"] }]);
  }

  say(text) {
    this.message.hidden = !text;
    if (this.message.textContent !== text) this.message.textContent = text;
  }

  destroy() {
    this.turn++;
    this.viewer.destroy();
    this.viewer.loader.clear();
  }

  // Before its size is known, the small picture is there at once: the strip has it.
  #showPoster(job) {
    this.viewer.clear();
    this.poster.hidden = false;
    this.poster.src = thumbOf(job);
  }

  #kinds(job) {
    return job.seen ? this.viewer.wantedKinds : ["source"];
  }

  // Where the source lies in a result, the result says.
  #needed(job) {
    return job.seen ? [...new Set([...this.#kinds(job), "cutout"])] : this.#kinds(job);
  }

  // What a Viewer shows. Its size is known from the list, before anything was decoded.
  #entry(job) {
    const entry = this.pyramids.of(job);
    if (job.width && job.height) entry.frame = { width: job.width, height: job.height };
    entry.sourceOnly = !job.seen;
    return entry;
  }

  // A kind that was not asked for yet, since it was not in sight.
  async #missing() {
    const { job, turn } = this;
    if (!job) return;
    const kinds = this.#kinds(job);
    await this.pyramids.need(job, kinds);
    if (turn !== this.turn) return;
    const entry = this.#entry(job);
    await this.#failedLook(job, entry, kinds);
    this.viewer.update();
  }

  // What cannot be shown is said; where there is no cutout to see, the source is better than nothing.
  async #failedLook(job, entry, kinds) {
    const failed = kinds.find((kind) => entry.failed[kind]);
    this.say(failed ? errorText(entry.failed[failed]) : "");
    if (!failed) return;
    this.#retryLater();
    if (failed !== "cutout") return;
    entry.sourceOnly = true;
    await this.pyramids.need(job, ["source"]);
  }
}
