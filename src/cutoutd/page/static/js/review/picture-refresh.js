/**
 * Pictures that Review asks for anew: those that it decided about, until that is carried out, and those in sight when somebody else
 * decided. Answers come one after the other. Shows nothing; `onRenewed(job)` hears of each.
 */

const NEWS_MS = 300;
const FOLLOWED = 8; // pictures at a time
const FOLLOW_MS = 60_000;
const IN_SIGHT = 24;

export class PictureRefresher {
  constructor({ list, decisions, onRenewed, signal }) {
    Object.assign(this, { list, decisions, onRenewed, signal });
    this.followed = new Map(); // until when each is asked for
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** Keeps asking for the last of these: no event tells that a published cutout is no longer doubtful. */
  follow(jobs) {
    for (const job of jobs.slice(-FOLLOWED)) this.followed.set(job, performance.now() + FOLLOW_MS);
  }

  async askFollowed() {
    if (this.asking) return;
    this.asking = true;
    const now = performance.now();
    for (const [job, until] of this.followed) if (now > until || this.decisions.mark(job)?.state === "done") this.followed.delete(job);
    await this.renew([...this.followed.keys()].slice(-FOLLOWED));
    this.asking = false;
  }

  /** Somebody decided; only the last of several questions counts. `visibleRange()` gives the first and the last index. */
  decided(batch, visibleRange) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.decisions.has(batch)) return;
      const { first, last } = visibleRange();
      const jobs = this.list.ids.slice(first, last + 1).filter((job) => this.decisions.mark(job)?.state !== "sending");
      this.renew(jobs.slice(0, IN_SIGHT));
    }, NEWS_MS);
  }

  async renew(jobs) {
    for (const job of jobs) {
      if (this.signal.aborted) return;
      await this.list
        .renew(job)
        .then((one) => this.onRenewed(one))
        .catch(() => {});
    }
  }
}
