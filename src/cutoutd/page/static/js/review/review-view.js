/**
 * Review: the pictures that match a filter, doubtful ones first, one of them large, and decisions about them. What is decided stays in its
 * place until the list is loaded again, and the next picture is fetched before it is asked for.
 */

import { on, read } from "../core/api.js";
import { onOverview, overview, reviewFilter } from "../core/app-state.js";
import { el, icon, listen } from "../core/dom.js";
import { bind } from "../core/keyboard-shortcuts.js";
import { announce, fail, toast } from "../core/messages.js";
import { go, setQuery } from "../core/router.js";
import { errorText, t } from "../core/text.js";
import { drawPictureView } from "../viewer/picture-view.js";
import { TileLoader } from "../viewer/tile-loader.js";
import { ViewToolbar } from "../viewer/view-toolbar.js";
import { Viewer } from "../viewer/viewer.js";
import { DetailsPanel } from "./details-panel.js";
import { drawEmptyMessage } from "./empty-message.js";
import { Filmstrip } from "./filmstrip.js";
import { LargePicture } from "./large-picture.js";
import { entryOf, labelOf } from "./picture-labels.js";
import { PictureList } from "./picture-list.js";
import { PictureRefresher } from "./picture-refresh.js";
import { PlaceCount } from "./place-count.js";
import { ReviewActions } from "./review-actions.js";
import { filterOf, matches, paramsOf, queryOf, ReviewFilter } from "./review-filter.js";
import { Selection } from "./selection.js";
import { decisions } from "./tab-decisions.js";

export const title = "review.title";

const AHEAD = [1, 2, -1, 3]; // neighbours that are fetched first, in this order
const DETAILS_MS = 250; // a picture that is only passed is not asked about

let kept = null; // the list that Fix leads back to

export async function show(place, { query, signal }) {
  const review = new Review(place, query, signal);
  await review.start();
}

class Review {
  constructor(place, query, signal) {
    this.place = place;
    this.signal = signal;
    this.filter = filterOf(query);
    this.linked = Number(query.get("job")) || null;
    this.wanted = this.linked ?? (Number(query.get("at")) || null); // where a reload, or the way back, finds its place again
    // Back from a picture: its list as it was. From elsewhere: what matches now.
    const again = this.wanted && kept && JSON.stringify(kept.filter) === JSON.stringify(this.filter);
    this.list = again ? kept.list : new PictureList(read);
    this.selection = again ? kept.selection : new Selection();
    this.again = again;
    const { list, selection } = this;
    this.refresher = new PictureRefresher({ list, decisions, inSight: () => this.strip.visibleRange, onRenewed: (one) => this.#renewed(one), signal });
    const view = { show: () => this.#show(), go: (index) => this.#move(index), label: () => this.#label(), follow: (jobs) => this.refresher.follow(jobs), renew: (jobs) => this.refresher.renew(jobs) };
    this.actions = new ReviewActions({ decisions, list, selection, view });
    this.#build();
    this.#listen();
  }

  async start() {
    if (this.again && this.list.count > 0 && !this.#isElsewhere) {
      this.strip.setCount(this.list.count);
      this.#goTo(this.wanted);
      const job = this.#current;
      if (job) this.list.renew(job.job).catch(() => {}); // it may have been fixed in between
      this.list.askForOthers().catch(() => {});
      return;
    }
    await this.#load();
  }

  // What is on the screen.

  #build() {
    const { place, signal } = this;
    this.viewer = new Viewer(new TileLoader(), { label: t("review.picture"), wipeLabel: t("look.wipeHandle") });
    this.large = new LargePicture(this.viewer);
    this.toolbar = new ViewToolbar(this.viewer);
    this.filters = new ReviewFilter(this.filter);
    this.count = new PlaceCount();
    this.reload = el("button", { class: "button quiet", hidden: true, on: { click: () => this.#load(this.#current?.job) } }, icon("again"), t("review.more"));
    this.panel = new DetailsPanel((action, event) => this.#act(action, event));
    this.strip = new Filmstrip({ label: t("review.strip"), describe: (index) => this.#describe(index) });
    this.empty = el("div", { class: "review-empty", hidden: true });
    this.body = drawPictureView(place, {
      bar: [el("h1", { class: "visually-hidden" }, t(title)), this.filters.button, this.count.element, this.reload, this.toolbar.element],
      above: this.filters.panel,
      viewer: this.viewer,
      side: this.panel.element,
      strip: this.strip.element,
      instead: this.empty,
      signal,
    });
    signal.addEventListener("abort", () => this.#leave());
  }

  #leave() {
    kept = { filter: this.filter, list: this.list, selection: this.selection };
    clearTimeout(this.detailsTimer);
    this.large.destroy();
    this.strip.destroy();
  }

  #listen() {
    const { signal } = this;
    listen(this.filters, "change", (filter) => this.#refilter(filter), signal);
    listen(this.strip, "pick", ({ index, event }) => this.#pick(index, event), signal);
    listen(this.strip, "visible", ({ first, last }) => this.list.need(first, last).catch(() => {}), signal);
    listen(this.list, "loaded", () => this.#loaded(), signal);
    listen(this.list, "details", () => this.#details(), signal);
    listen(this.list, "others", (jobs) => this.#others(jobs), signal);
    listen(this.list, "behind", () => this.#offerOthers(), signal);
    listen(decisions, "change", () => this.#marked(), signal);
    listen(decisions, "conflicts", (conflicts) => this.actions.conflicts(conflicts), signal);
    listen(decisions, "refused", (error) => fail(error), signal);
    listen(decisions, "undone", (jobs) => this.#follow(jobs[0]), signal);
    listen(this.viewer, "swipe", (steps) => this.#go(this.selection.current + steps), signal);
    on("jobs", (news) => this.#ended(news), signal);
    on("decided", ({ batch }) => this.refresher.decided(batch), signal);
    onOverview((now) => this.#overview(now), signal);
    this.viewer.element.addEventListener("keydown", (event) => this.#panKey(event), { signal });
    bind(
      {
        ...this.toolbar.actions,
        next: () => this.#go(this.selection.current + 1),
        previous: () => this.#go(this.selection.current - 1),
        first: () => this.#go(0),
        last: () => this.#go(this.list.count - 1),
        extendNext: () => this.#extend(this.selection.current + 1),
        extendPrevious: () => this.#extend(this.selection.current - 1),
        filter: () => this.filters.open(),
        ...Object.fromEntries(["accept", "reject", "undecided", "again", "againWith", "fix", "undo", "all", "escape"].map((one) => [one, () => this.#act(one)])),
      },
      signal,
    );
  }

  #act(action, event) {
    if (event?.currentTarget?.getAttribute("aria-disabled") === "true") return;
    const doing = {
      accept: () => this.actions.decide("accept"),
      reject: () => this.actions.decide("reject"),
      undecided: () => this.actions.decide("undecided"),
      again: () => this.actions.again(false),
      againWith: () => this.actions.again(true),
      fix: () => this.#fix(),
      undo: () => this.actions.undo(),
      all: () => this.#all(),
      escape: () => this.#escape(),
    };
    doing[action]();
    if (event?.detail > 0) this.viewer.element.focus({ preventScroll: true });
  }

  // The list.

  async #load(job = this.wanted) {
    this.wanted = job;
    this.reload.hidden = true;
    decisions.forget();
    await this.#showAlone();
    try {
      await this.list.load(paramsOf(this.filter), this.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#showEmpty("trouble", errorText(error));
    }
    const elsewhere = this.#isElsewhere && this.filters.isDefault;
    this.linked = null;
    if (elsewhere) return this.filters.set({ list: "all" });
    if (!this.list.complete) return; // there was trouble, or another one is on its way
    this.wanted = null; // it is not in this one
    this.#details();
  }

  // The picture that is asked for, before the list has come and with it its place: a long list takes longer than a picture.
  async #showAlone() {
    const { wanted } = this;
    if (!wanted || this.alone?.job === wanted) return;
    const found = await read("job", { job: wanted }, { signal: this.signal }).catch(() => null);
    if (!found || wanted !== this.wanted) return;
    this.alone = found;
    this.large.show(found, labelOf(found, decisions.mark(wanted)));
  }

  // Whether the picture that is asked for has no place yet: no other one is shown meanwhile, or a key would be about that.
  get #waitsForWanted() {
    return Boolean(this.wanted) && this.list.index(this.wanted) < 0;
  }

  // Whether a picture that is asked for by its number, as from the inbox, is not among those to look at.
  get #isElsewhere() {
    return Boolean(this.linked) && this.list.complete && this.list.index(this.linked) < 0;
  }

  #loaded() {
    this.selection.reset(this.#waitsForWanted ? 0 : this.list.count);
    this.strip.setCount(this.selection.count);
    if (this.list.count === 0) this.#showEmpty(this.filters.isDefault ? "nothing" : "noMatch");
    else this.#showEmpty(null);
    if (this.wanted && this.list.index(this.wanted) >= 0) this.#goTo(this.wanted);
    else this.#show();
  }

  #goTo(job) {
    const at = this.list.index(job);
    this.wanted = null;
    if (at >= 0) this.selection.go(at);
    if (this.alone?.job === job && !this.#current) this.list.update([this.alone]);
    this.#show();
  }

  #details() {
    if (this.selection.count !== this.list.count && !this.#waitsForWanted) {
      this.selection.grow(this.list.count);
      this.strip.setCount(this.list.count);
    }
    if (this.wanted && !this.#waitsForWanted) return this.#goTo(this.wanted);
    this.strip.refresh();
    const job = this.#current;
    const { shown } = this.large;
    if (job && (job.job !== shown?.job || job.seen !== shown?.seen)) this.#show();
    else this.#drawSide();
  }

  #refilter(filter) {
    this.filter = filter;
    setQuery(queryOf(filter));
    this.#load();
  }

  // Pictures that are not in the list, but may belong to it by now.
  #others(jobs) {
    if (jobs.some((job) => matches(this.filter, job))) this.#offerOthers();
  }

  #offerOthers() {
    if (this.list.count === 0) this.#load();
    else this.reload.hidden = false;
  }

  #ended({ ended = [] }) {
    for (const one of ended) decisions.settle(one);
    this.list.update(ended);
    const current = this.#current;
    if (current && ended.some((one) => one.job === current.job)) this.#askDetails(current);
  }

  #follow(job) {
    this.refresher.follow([job]);
    this.refresher.renew([job]);
  }

  #renewed(one) {
    decisions.settle(one);
    if (one.job === this.#current?.job && this.selection.size === 0) this.panel.drawDetails(one);
  }

  #overview(now) {
    this.filters.setFolders((now?.folders ?? []).map((one) => one.name));
    this.#drawSide();
    this.refresher.askFollowed();
  }

  // One picture.

  get #current() {
    return this.list.at(this.selection.current);
  }

  // As a person asks for it, who hears which one it is; the strip says it by itself.
  #go(index) {
    this.unsaid = document.activeElement === this.strip.element ? null : this.list.ids[index];
    return this.#move(index);
  }

  #move(index) {
    if (this.#waitsForWanted || index < 0 || index >= this.list.count) return false;
    this.selection.go(index);
    this.#show();
    return true;
  }

  #extend(index) {
    if (index < 0 || index >= this.list.count) return;
    this.selection.extend(index);
    this.#show();
  }

  #pick(index, event) {
    if (event.shiftKey) this.selection.extend(index);
    else if (event.ctrlKey || event.metaKey) this.selection.toggle(index);
    else this.selection.go(index);
    this.#show();
  }

  #show() {
    const { current } = this.selection;
    this.strip.setCurrent(current);
    this.#drawCount();
    this.list.need(current - 3, current + 4).catch(() => {});
    const job = this.#current;
    clearTimeout(this.detailsTimer);
    this.panel.drawDetails(null);
    this.#drawSide();
    if (!job) return this.#waitsForWanted ? undefined : this.large.blank();
    this.large.show(job, this.#label()).then(() => this.large.ahead(AHEAD.map((step) => this.list.at(current + step)).filter(Boolean)));
    this.detailsTimer = setTimeout(() => this.#rest(job), DETAILS_MS);
  }

  #rest(job) {
    setQuery({ ...queryOf(this.filter), at: job.job });
    if (job.job === this.unsaid) announce(this.#label());
    this.unsaid = null;
    this.#askDetails(job);
  }

  async #askDetails(job) {
    const all = await this.list.renew(job.job).catch(() => null); // and what the list knows of it, which may be older
    if (!this.signal.aborted && this.#current?.job === job.job && this.selection.size === 0) this.panel.drawDetails(all);
  }

  #drawSide() {
    if (this.signal.aborted) return;
    const job = this.#current;
    if (this.selection.size > 1) this.panel.drawMany(this.selection.size, this.list.count);
    else this.panel.draw(job, job && decisions.mark(job.job), { running: overview()?.running ?? true });
  }

  #drawCount() {
    this.count.draw(this.selection.current, this.selection.count && this.list.count, decisions.unsent);
  }

  #describe(index) {
    const job = this.list.at(index);
    if (!job) return null;
    const chosen = this.selection.size > 0 ? this.selection.has(index) : index === this.selection.current;
    return { ...entryOf(job, decisions.mark(job.job)), chosen };
  }

  // The current picture in words.
  #label() {
    const job = this.#current;
    return job ? labelOf(job, decisions.mark(job.job)) : "";
  }

  #marked() {
    this.strip.refresh();
    this.#drawSide();
    this.#drawCount();
  }

  #fix() {
    const job = this.#current;
    if (!job) return;
    if (!job.fixable) toast(t("review.notFixable"));
    else {
      reviewFilter.save(queryOf(this.filter));
      go(`/fix/${job.job}`);
    }
  }

  #all() {
    if (this.list.count === 0) return;
    this.selection.chooseAll();
    this.strip.refresh();
    this.#drawSide();
    announce(t("review.selected", { count: this.list.count }));
  }

  #escape() {
    if (!this.filters.panel.hidden) return this.filters.close();
    this.selection.clear();
    this.strip.refresh();
    this.#show();
  }

  #panKey(event) {
    const asked = event.ctrlKey || (event.target === this.viewer.element && !event.shiftKey && (event.key === "ArrowUp" || event.key === "ArrowDown"));
    if (asked && !event.altKey && this.toolbar.pan(event)) event.preventDefault();
  }

  #showEmpty(what, detail = "") {
    this.empty.hidden = what === null;
    this.body.hidden = this.toolbar.element.hidden = what !== null;
    if (what === null) return;
    this.#drawCount();
    const folders = overview()?.folders ?? [];
    const done = folders.reduce((sum, folder) => sum + (folder.done ?? 0), 0);
    const kind = what === "nothing" && done === 0 ? "never" : what;
    const doing = { showAll: () => this.filters.set({ list: "all" }), reset: () => this.filters.reset(), again: () => this.#load() };
    drawEmptyMessage(this.empty, kind, { done, detail, act: (action) => doing[action]() });
  }
}
