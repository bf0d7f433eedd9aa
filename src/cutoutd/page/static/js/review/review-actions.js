/**
 * What Review does with the pictures that are selected: decisions and their undo, cutting again. Draws nothing: what follows on the
 * screen is the view's, which has show(), go(index), label(), follow(jobs) and renew(jobs).
 */

import { mayWrite } from "../core/api.js";
import { keyOf } from "../core/keyboard-shortcuts.js";
import { announce, toast } from "../core/messages.js";
import { coded, t } from "../core/text.js";
import { cutAgain } from "./cut-again.js";
import { decisionInForce } from "./picture-labels.js";

const RENEWED = 24; // pictures that are asked for anew at once

export class ReviewActions {
  constructor({ decisions, list, selection, view }) {
    Object.assign(this, { decisions, list, selection, view });
  }

  decide(verb) {
    if (!mayWrite()) return toast(t("notice.readOnly"));
    const many = this.selection.size > 1;
    if (this.selection.all && !this.list.complete) return toast(t("review.stillLoading"));
    const targets = this.selection.targets();
    const items = targets.map((index) => this.#item(index)).filter(Boolean);
    if (items.length === 0) return toast(t("review.nothingToDecide"));
    this.decisions.decide(verb, items);
    this.view.follow(items.map(({ job }) => job));
    if (many) {
      this.selection.clear();
      this.view.show();
      toast(t(`review.done.${verb}`, { count: items.length }), { action: `${t("key.undo")} (${keyOf("undo")})`, run: () => this.undo() });
    } else {
      const said = t(`review.done.${verb}`, { count: 1 });
      const moved = verb !== "undecided" && this.view.go(targets[0] + 1);
      announce(moved ? `${said} ${this.view.label()}` : said);
    }
  }

  undo() {
    const jobs = this.decisions.undo();
    if (!jobs) return toast(t("review.nothingToUndo"));
    const at = this.list.index(jobs[0]);
    if (at >= 0) this.selection.go(at);
    this.view.show();
    toast(t("review.undone", { count: jobs.length }));
  }

  /** Says that pictures changed, or that somebody else decided first; they are asked for anew. */
  conflicts(conflicts) {
    const [first] = conflicts;
    const said = coded("conflict", first.code, first.text);
    toast(conflicts.length === 1 ? said : t("review.conflicts", { count: conflicts.length }), { kind: "bad", seconds: 12 });
    this.view.renew(conflicts.slice(0, RENEWED).map((one) => one.job));
  }

  /** Has them cut again; `other`: by another model, which is asked for. */
  async again(other) {
    if (!mayWrite()) return toast(t("notice.readOnly"));
    const targets = this.selection.targets().filter((index) => this.list.ids[index]);
    const items = targets.map((index) => [this.list.ids[index], this.list.seen(index)]);
    const conflicts = await cutAgain(items, other, (run) => this.decisions.inTurn(run));
    if (conflicts?.length > 0) this.conflicts(conflicts);
    else if (conflicts) this.view.renew(items.slice(0, RENEWED).map(([job]) => job));
  }

  // What a decision is about: the picture, the cutout that is shown, and the decision that is shown.
  #item(index) {
    const job = this.list.at(index);
    const seen = this.list.seen(index);
    if (job && !seen && job.state !== "rejected") return null;
    const number = this.list.ids[index];
    return { job: number, seen, over: this.decisions.over(number) ?? decisionInForce(job, this.decisions.mark(number)) };
  }
}
