/** Failures: which pictures could not be cut, why, what helps; cut again, one or all. */

import { PagedList } from "../components/paged-list.js";
import { thumbnail } from "../components/thumbnail.js";
import { AnswerOrder } from "../core/answer-order.js";
import { on, picture, read, write } from "../core/api.js";
import { onOverview, overview, refresh } from "../core/app-state.js";
import { ask } from "../core/dialogs.js";
import { el, icon, name, plain, prose, put } from "../core/dom.js";
import { IdempotentRequests } from "../core/idempotent-request.js";
import { bind } from "../core/keyboard-shortcuts.js";
import { announce, fail, toast } from "../core/messages.js";
import { setQuery } from "../core/router.js";
import { ago, coded, dateTime, said, t } from "../core/text.js";

export const title = "failures.title";

const AT_ONCE = 10_000;
const MOST_RESTING = 50;
const TYPING_MS = 250;

export async function show(place, { query, signal }) {
  const failures = new Failures(place, query, signal);
  failures.listen();
  await failures.load();
}

class Failures {
  constructor(place, query, signal) {
    this.signal = signal;
    this.filter = { folder: query.get("folder") ?? "", q: query.get("q") ?? "" };
    this.requests = new IdempotentRequests();
    this.order = new AnswerOrder();
    this.shown = {}; // what the list was drawn from
    this.folder = el("select", { id: "failures-folder", class: "select", on: { change: () => this.#narrow() } });
    this.search = el("input", { id: "failures-q", class: "field", type: "search", value: this.filter.q, autocomplete: "off", on: { input: () => this.#typed() } });
    this.all = el("button", { class: "button", hidden: true, on: { click: () => this.#retryAll().catch(fail) } });
    this.count = el("p", { class: "secondary", role: "status" });
    this.rows = el("div", { class: "rows" });
    this.none = el("div", { class: "empty", hidden: true });
    this.resting = el("section", { class: "resting", hidden: true, "aria-labelledby": "failures-resting" });
    this.filters = el(
      "form",
      { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
      el("div", {}, el("label", { class: "label", for: "failures-folder" }, t("failures.folder")), this.folder),
      el("div", {}, el("label", { class: "label", for: "failures-q" }, t("failures.search")), this.search),
    );
    put(place, el("div", { class: "view-head" }, el("div", {}, el("h1", {}, t(title)), this.count), this.all), this.filters, this.none, this.rows, this.resting);
    const fetchPage = async (offset, limit, one) => (await read("jobs", { ...this.params, sort: "newest", offset, limit }, { signal: one })).jobs;
    this.list = new PagedList({ place: this.rows, size: 50, height: 109, fetchPage, row: (job) => this.#row(job), signal });
  }

  get params() {
    return { state: "failed", ...this.filter };
  }

  listen() {
    const { signal } = this;
    signal.addEventListener("abort", () => clearTimeout(this.typing));
    bind({ filter: () => this.search.focus() }, signal);
    onOverview(({ folders }) => fillFolders(this.folder, folders, this.filter.folder), signal);
    if (!overview()) refresh();
    const look = () => this.load({ quiet: true }).catch(() => {}); // where nobody answers, the frame says so
    on("overview", look, signal);
    on("connection", ({ up }) => up && look(), signal); // nobody told of what changed meanwhile
  }

  /** `quiet`: what is shown already stays as it is. */
  async load({ quiet = false } = {}) {
    const { signal, filter } = this;
    const isNews = this.order.ask();
    const [found, later] = await Promise.all([
      read("jobs", { ...this.params, sort: "newest", limit: 1 }, { signal }),
      read("jobs", { ...this.params, state: "resting", sort: "newest", limit: MOST_RESTING }, { signal }),
    ]);
    if (!isNews() || filter !== this.filter) return;
    // One that failed again leaves the total as it was. So may another filter.
    const failed = JSON.stringify([filter, found.total, found.jobs.map(({ job, at, why }) => [job, at, why])]);
    const resting = JSON.stringify([later.total, later.jobs.map(({ job, why }) => [job, why])]);
    const isNew = !quiet || failed !== this.shown.failed;
    if (resting !== this.shown.resting) this.#drawResting(later);
    if (isNew || resting !== this.shown.resting) this.#drawTotals(found.total, later.total);
    if (isNew) this.list.reload(found.total);
    this.shown = { failed, resting };
  }

  #drawTotals(failed, resting) {
    const isFiltered = this.filter.folder !== "" || this.filter.q !== "";
    this.total = failed;
    this.count.textContent = failed ? `${t("failures.total", { count: failed })}. ${t("failures.intro")}` : "";
    this.all.hidden = failed === 0;
    put(this.all, icon("again"), t("failures.all", { count: failed }));
    this.filters.hidden = failed === 0 && !isFiltered;
    this.none.hidden = failed > 0 || resting > 0;
    put(this.none, icon("check"), el("p", { class: "empty-title" }, t(isFiltered ? "failures.noneFound" : "failures.none")), isFiltered ? null : el("p", { class: "secondary" }, t("failures.noneHow")));
  }

  /* What could not be cut just now, as while a file is still written, or a disk does not answer: nobody has to do anything. */
  #drawResting({ total, jobs }) {
    this.resting.hidden = total === 0;
    const rows = jobs.map((job) => this.#row(job));
    for (const row of rows) row.setAttribute("role", "listitem");
    put(this.resting, el("h2", { id: "failures-resting" }, t("failures.resting", { count: total })), el("p", { class: "secondary" }, t("failures.restingHow", { count: total })), el("div", { class: "rows", role: "list" }, rows));
  }

  #row(job) {
    return el(
      "div",
      { class: "row" },
      el("span", { class: "row-picture" }, thumbnail(picture.thumb(job.job, "source", job.seen || job.job)), icon("failures")),
      el(
        "div",
        {},
        el("h2", { class: "row-why" }, prose(said(job.why))),
        el("p", {}, prose(said(job.advice))),
        el("p", { class: "row-name small" }, name(job.path), " · ", plain(job.folder), " · ", el("time", { datetime: job.at, title: dateTime(job.at) }, ago(job.at))),
      ),
      el("div", { class: "row-actions" }, el("button", { class: "button", "aria-label": t("failures.againOf", { name: plain(job.name) }), on: { click: ({ currentTarget }) => this.#retry(job, currentTarget) } }, icon("again"), t("failures.again"))),
    );
  }

  async #retry(job, button) {
    button.disabled = true;
    const { signal } = this;
    const failure = [job.at, job.why]; // one that was cut, and failed again, is another
    try {
      const { done, conflicts } = await this.requests.send(job.job, failure, (request) => write("retry", { items: [[job.job, job.seen]] }, { request, signal }));
      if (done) announce(t("failures.asked", { count: done }));
      for (const one of conflicts) toast(t("failures.conflict", { name: plain(job.name), why: coded("conflict", one.code, one.text) }), { kind: "bad" });
      if (done) button.closest(".row").classList.add("asked");
    } catch (error) {
      button.disabled = false;
      fail(error);
    }
  }

  async #retryAll() {
    const { signal, total } = this;
    if (!(await ask(t("failures.allAsk", { count: total }), { yes: t("failures.all", { count: total }), detail: t("failures.allDetail") }))) return;
    const { ids, seen } = await read("job_ids", this.params, { signal });
    const items = ids.map((id, i) => [id, seen[i]]);
    let done = 0;
    const refused = [];
    for (let from = 0; from < items.length; from += AT_ONCE) {
      const some = items.slice(from, from + AT_ONCE);
      const answer = await this.requests.send(`all from ${from}`, [some, this.shown.failed], (request) => write("retry", { items: some }, { request, signal }));
      done += answer.done;
      refused.push(...answer.conflicts);
    }
    if (done) toast(t("failures.asked", { count: done }));
    if (refused.length) toast(t("failures.refused", { count: refused.length, why: coded("conflict", refused[0].code, refused[0].text) }), { kind: "bad" });
    await this.load();
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#narrow(), TYPING_MS);
  }

  #narrow() {
    this.filter = { folder: this.folder.value, q: this.search.value };
    setQuery(this.filter);
    this.load().catch(fail);
  }
}

function fillFolders(select, folders, chosen) {
  const names = folders.map((one) => one.name);
  if (select.dataset.names === JSON.stringify(names)) return;
  select.dataset.names = JSON.stringify(names);
  put(select, el("option", { value: "" }, t("failures.allFolders")), names.map((one) => el("option", { value: one, selected: one === chosen }, plain(one))));
}
