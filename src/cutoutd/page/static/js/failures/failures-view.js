/** Failures: which pictures could not be cut, why, what helps; cut again, one or all. */

import { pagedList } from "../components/paged-list.js";
import { thumbnail } from "../components/thumbnail.js";
import { hadNoAnswer, on, picture, read, write } from "../core/api.js";
import { onOverview, overview, refresh } from "../core/app-state.js";
import { el, icon, name, plain, put } from "../core/dom.js";
import { bind } from "../core/keyboard-shortcuts.js";
import { announce, ask, fail, toast } from "../core/messages.js";
import { newRequest } from "../core/request-id.js";
import { setQuery } from "../core/router.js";
import { ago, dateTime, t } from "../core/text.js";

export const title = "failures.title";

const AT_ONCE = 10_000;
const MOST_RESTING = 50;

export async function show(place, { query, signal }) {
  const filter = { folder: query.get("folder") ?? "", q: query.get("q") ?? "" };
  const params = () => ({ state: "failed", folder: filter.folder, q: filter.q });
  const folder = el("select", { id: "failures-folder", class: "select" });
  const search = el("input", { id: "failures-q", class: "field", type: "search", value: filter.q, autocomplete: "off" });
  const all = el("button", { class: "button", hidden: true });
  const count = el("p", { class: "secondary", role: "status" });
  const rows = el("div", { class: "rows" });
  const none = el("div", { class: "empty", hidden: true });
  const resting = el("section", { class: "resting", hidden: true, "aria-labelledby": "failures-resting" });
  const filters = el(
    "form",
    { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
    el("div", {}, el("label", { class: "label", for: "failures-folder" }, t("failures.folder")), folder),
    el("div", {}, el("label", { class: "label", for: "failures-q" }, t("failures.search")), search),
  );
  put(place, el("div", { class: "view-head" }, el("div", {}, el("h1", {}, t(title)), count), all), filters, none, rows, resting);

  const list = pagedList({
    place: rows,
    size: 50,
    height: 109,
    fetchPage: async (offset, limit, one) => (await read("jobs", { ...params(), sort: "newest", offset, limit }, { signal: one })).jobs,
    row: (job) => failure(job, again),
    signal,
  });
  let total = -1;
  let newest = "";
  let shownResting = "";
  const load = async ({ quiet = false } = {}) => {
    const [found, later] = await Promise.all([
      read("jobs", { ...params(), sort: "newest", limit: 1 }, { signal }),
      read("jobs", { ...params(), state: "resting", sort: "newest", limit: MOST_RESTING }, { signal }),
    ]);
    const nowResting = JSON.stringify([later.total, later.jobs.map(({ job, why }) => [job, why])]);
    const nowNewest = JSON.stringify(found.jobs.map(({ job, at, why }) => [job, at, why]));
    const isNew = !quiet || found.total !== total || nowNewest !== newest; // one that failed again leaves the total as it was
    if (!isNew && nowResting === shownResting) return;
    if (nowResting !== shownResting) drawResting(resting, later, again);
    shownResting = nowResting;
    total = found.total;
    newest = nowNewest;
    const filtered = filter.folder !== "" || filter.q !== "";
    count.textContent = total ? `${t("failures.total", { count: total })}. ${t("failures.intro")}` : "";
    all.hidden = total === 0;
    put(all, icon("again"), t("failures.all", { count: total }));
    filters.hidden = total === 0 && !filtered;
    none.hidden = total > 0 || later.total > 0;
    put(none, icon("check"), el("p", { class: "empty-title" }, t(filtered ? "failures.noneFound" : "failures.none")), filtered ? null : el("p", { class: "secondary" }, t("failures.noneHow")));
    if (isNew) list.reload(total);
  };
  const unanswered = new Map(); // names of requests that may have arrived, each for a failure as it was shown
  const again = async (job, button) => {
    button.disabled = true;
    try {
      const before = unanswered.get(job.job);
      const isSame = before?.at === job.at && before?.why === job.why; // else it was cut, and failed again
      const request = isSame ? before.request : newRequest();
      unanswered.set(job.job, { request, at: job.at, why: job.why });
      const { done, conflicts } = await write("retry", { jobs: [job.job] }, { request, signal });
      unanswered.delete(job.job);
      if (done) announce(t("failures.asked", { count: done }));
      for (const one of conflicts) toast(t("failures.conflict", { name: plain(job.name), why: one.text }), { kind: "bad" });
      if (done) button.closest(".row").classList.add("asked");
    } catch (error) {
      if (!hadNoAnswer(error)) unanswered.delete(job.job);
      button.disabled = false;
      fail(error);
    }
  };
  all.addEventListener("click", () => retryAll(total, params, signal).then((done) => done && load(), fail));
  const narrow = () => {
    Object.assign(filter, { folder: folder.value, q: search.value });
    setQuery(filter);
    load().catch(fail);
  };
  let typed = 0;
  folder.addEventListener("change", narrow);
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(narrow, 250);
  });
  bind({ filter: () => search.focus() }, signal);
  onOverview(({ folders }) => fillFolders(folder, folders, filter.folder), signal);
  if (!overview()) refresh();
  on("overview", () => load({ quiet: true }).catch(() => {}), signal);
  await load();
}

function fillFolders(select, folders, chosen) {
  const names = folders.map((one) => one.name);
  if (select.dataset.names === JSON.stringify(names)) return;
  select.dataset.names = JSON.stringify(names);
  put(select, el("option", { value: "" }, t("failures.allFolders")), names.map((one) => el("option", { value: one, selected: one === chosen }, plain(one))));
}

async function retryAll(total, params, signal) {
  if (!(await ask(t("failures.allAsk", { count: total }), { yes: t("failures.all", { count: total }), detail: t("failures.allDetail") }))) return false;
  const { ids } = await read("job_ids", params(), { signal });
  let done = 0;
  const refused = [];
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const answer = await write("retry", { jobs: ids.slice(from, from + AT_ONCE) }, { signal });
    done += answer.done;
    refused.push(...answer.conflicts);
  }
  if (done) toast(t("failures.asked", { count: done }));
  if (refused.length) toast(t("failures.refused", { count: refused.length, why: refused[0].text }), { kind: "bad" });
  return true;
}

/* What could not be cut just now, as while a file is still written, or a disk does not answer: nobody has to do anything. */
function drawResting(place, { total, jobs }, again) {
  place.hidden = total === 0;
  const rows = jobs.map((job) => failure(job, again));
  for (const row of rows) row.setAttribute("role", "listitem");
  put(place, el("h2", { id: "failures-resting" }, t("failures.resting", { count: total })), el("p", { class: "secondary" }, t("failures.restingHow", { count: total })), el("div", { class: "rows", role: "list" }, rows));
}

function failure(job, again) {
  const frame = el("span", { class: "row-picture" }, thumbnail(picture.thumb(job.job, "source", job.seen || job.job)), icon("failures"));
  return el(
    "div",
    { class: "row" },
    frame,
    el(
      "div",
      {},
      el("h2", { class: "row-why" }, plain(job.why)),
      el("p", {}, plain(job.advice ?? "")),
      el("p", { class: "row-name small" }, name(job.path), " · ", plain(job.folder), " · ", el("time", { datetime: job.at, title: dateTime(job.at) }, ago(job.at))),
    ),
    el("div", { class: "row-actions" }, el("button", { class: "button", "aria-label": t("failures.againOf", { name: plain(job.name) }), on: { click: ({ currentTarget }) => again(job, currentTarget) } }, icon("again"), t("failures.again"))),
  );
}
