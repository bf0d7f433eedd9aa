/**
 * Pictures that Review asks for anew: those that it decided about, until that is carried out, and those in sight when somebody else
 * decided, or when a lost connection is back. Answers come one after the other. Shows nothing; `onRenewed(job)` hears of each.
 */

import { on } from "../core/api.js";

const NEWS_MS = 300;
const FOLLOWED = 8; // pictures at a time
const FOLLOW_MS = 60_000;
const IN_SIGHT = 24;

export class PictureRefresher {
  /** `inSight()` gives the first and the last index. */
  constructor({ list, decisions, inSight, onRenewed, signal }) {
    Object.assign(this, { list, decisions, inSight, onRenewed, signal });
    this.followed = new Map(); // until when each is asked for
    signal.addEventListener("abort", () => clearTimeout(this.timer));
    on("connection", ({ up }) => up && list.complete && this.#catchUp(), signal); // nobody told of what changed meanwhile
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

  /** Somebody decided; only the last of several questions counts. */
  decided(batch) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.decisions.has(batch) || this.#renewInSight(), NEWS_MS);
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
  #catchUp() {
    this.list.askForOthers().catch(() => {}); // where nobody answers, the frame says so
    this.#renewInSight();
  }

  #renewInSight() {
    const { first, last } = this.inSight();
    const jobs = this.list.ids.slice(first, last + 1).filter((job) => this.decisions.mark(job)?.state !== "sending");
    this.renew(jobs.slice(0, IN_SIGHT));
  }
}
