/**
 * The inbox: the state of each folder and what to do, how fast cutting goes, the newest cutouts as they come.
 */

import { waitingPicture } from "../components/thumbnail-status.js";
import { AnswerOrder } from "../core/answer-order.js";
import { on, picture, read } from "../core/api.js";
import { getSession, onOverview } from "../core/app-state.js";
import { el, icon, name, plain, prose, put, redraw } from "../core/dom.js";
import { announce } from "../core/messages.js";
import { href } from "../core/router.js";
import { ago, bytes, coded, duration, has, number, said, t } from "../core/text.js";
import { throughputPlot } from "./throughput-plot.js";

export const title = "inbox.title";

const NEWEST = 48;
const SHOWN = ["done", "review"];
const PREPARED_MS = 30_000; // what makes tiles ends a minute after it was needed

export async function show(place, { signal }) {
  const figures = el("dl", { class: "figures" });
  const plot = el("div", { class: "card plot-card" });
  const folders = el("ul", { class: "folders" });
  const newest = el("ul", { class: "newest" });
  const none = el("div", { class: "newest-none", hidden: true });
  put(
    place,
    el("div", { class: "view-head" }, el("h1", {}, t(title)), getSession().changeable === false ? null : el("a", { class: "button", href: "#/welcome" }, icon("folder"), t("inbox.add"))),
    el(
      "div",
      { class: "inbox" },
      el("section", { class: "inbox-side", "aria-label": t("inbox.now") }, figures, plot, el("h2", { class: "visually-hidden" }, t("inbox.folders")), folders),
      el("section", { class: "inbox-main", "aria-labelledby": "newest-title" }, el("h2", { id: "newest-title" }, t("inbox.newest")), none, newest),
    ),
  );
  let seen = null;
  onOverview((overview) => {
    seen = overview;
    redraw(figures, figuresOf(overview), () => figuresOf(overview).map(figure));
    redraw(folders, [overview.folders, overview.running, overview.paused], () => inOrder(overview.folders).map((folder) => folderCard(folder, overview)));
    drawNone(none, newest, seen);
  }, signal);
  keepPlot(plot, signal);
  await keepNewest(newest, signal, () => drawNone(none, newest, seen));
  keepReviewPrepared(newest, signal);
}

/* What makes tiles is started before a picture is chosen: now, and again when somebody is about to. */
function keepReviewPrepared(list, signal) {
  let last = -Infinity;
  const again = () => {
    if (performance.now() < last + PREPARED_MS) return;
    last = performance.now();
    read("prepare").catch(() => {});
  };
  for (const event of ["pointerover", "focusin"]) list.addEventListener(event, again, { signal });
  again();
}

/* Folders that need somebody come first. */
function inOrder(folders) {
  return [...folders].sort((one, other) => isAway(other) - isAway(one));
}

function isAway({ watching }) {
  return ["standing by", "paused", null, undefined].includes(watching);
}

/* Figures of all folders together. */
function figuresOf({ folders, running, paused }) {
  const sum = (key) => folders.reduce((total, folder) => total + (folder[key] ?? 0), 0);
  const doubtful = sum("doubtful") + sum("review");
  const left = Math.max(0, ...folders.map((folder) => (isAway(folder) ? 0 : (folder.eta_s ?? 0))));
  const found = [
    ["waiting", number(sum("waiting")), null],
    ["working", number(sum("working")), null],
    ["today", number(sum("done_today")), null],
    ["doubtful", number(doubtful), doubtful ? href("/review", { state: ["review", "doubtful"] }) : null],
    ["failed", number(sum("failed")), sum("failed") ? "#/failures" : null],
  ];
  const rate = sum("per_minute");
  if (rate > 0) found.push(["rate", number(rate, rate < 10 ? 1 : 0), null]);
  if (left > 0 && running && !paused) found.push(["eta", duration(left), null]);
  return found;
}

function figure([key, value, link]) {
  const shown = link ? el("a", { href: link, data: { keep: key } }, value) : value;
  return el("div", { class: `figure figure-${key}` }, el("dt", {}, t(`inbox.${key}`)), el("dd", {}, shown));
}

function folderCard(folder, overview) {
  const watching = overview.running ? (folder.watching ?? "unheard").replace(" ", "-") : "off";
  const away = overview.running && isAway(folder);
  const indicator = watching === "off" ? "off" : away ? "bad" : overview.paused || watching === "starting" ? "paused" : "";
  const state = overview.running && overview.paused && !away ? "folder.pausedAll" : `folder.${watching}`;
  return el(
    "li",
    { class: `card folder ${away ? "away" : ""}` },
    el(
      "div",
      { class: "folder-head" },
      el("span", { class: `indicator ${indicator}` }),
      el("div", { class: "folder-name" }, el("h3", {}, name(folder.name)), el("p", { class: away ? "folder-state strong small" : "folder-state small" }, away ? coded("trouble", folder.trouble, t(state)) : t(state))),
      folder.tagged ? el("span", { class: "chip warn" }, t("inbox.tagged")) : null,
      el("a", { class: "button quiet icon-only", href: href(`/settings/${encodeURIComponent(folder.name)}`), data: { keep: `set ${folder.name}` }, "aria-label": t("inbox.settingsOf", { name: plain(folder.name) }) }, icon("settings")),
    ),
    overview.running ? callout(folder, away) : null,
    el("p", { class: "folder-counts" }, countsOf(folder).map(([text, link], i) => [i ? " · " : "", link ? el("a", { href: link, data: { keep: `${folder.name} ${i}` } }, text) : text])),
    heldUp(folder),
    el("p", { class: "folder-place secondary small" }, name(folder.input), " → ", name(folder.output), typeof folder.free_bytes === "number" ? ` (${t("inbox.free", { size: bytes(folder.free_bytes) })})` : ""),
  );
}

/* What the daemon says of it, and what to do. */
function callout(folder, away) {
  const lines = [folder.why, folder.note].filter(Boolean).map((one) => el("p", {}, prose(said(one))));
  const advice = folder.advice ? el("p", { class: "advice" }, prose(coded("advice", folder.trouble, folder.advice))) : null;
  return lines.length || advice ? el("div", { class: away ? "callout bad" : "callout" }, lines, advice) : null;
}

function countsOf(folder) {
  const link = (state) => href(state === "failed" ? "/failures" : "/review", { folder: folder.name, state: state === "failed" ? null : state });
  return [
    [folder.waiting - (folder.resting ?? 0), "waiting", null],
    [folder.resting, "resting", null],
    [folder.working, "working", null],
    [folder.settling, "settling", null],
    [folder.uploading, "uploading", null],
    [folder.unknown, "unknown", null],
    [folder.doubtful, "doubtful", link("doubtful")],
    [folder.review, "review", link("review")],
    [folder.failed, "failed", link("failed")],
    [folder.rejected, "rejected", link("rejected")],
    [folder.skipped, "skipped", null],
    [folder.unreadable, "unreadable", null],
    [folder.done, "done", null],
  ]
    .filter(([count, key]) => count > 0 || key === "done")
    .map(([count, key, to]) => [t(`folder.count.${key}`, { count }), to]);
}

/* Files that are there and are not taken yet: somebody still writes them, or they cannot be read. */
function heldUp(folder) {
  const files = (folder.held_up ?? []).filter((file) => file.path);
  if (!files.length) return null;
  return el(
    "details",
    { class: "held-up" },
    el("summary", { data: { keep: `held ${folder.name}` } }, t("inbox.held", { count: files.length })),
    el("ul", {}, files.map((file) => el("li", { class: "small" }, name(file.path), ": ", prose(said(file.why))))),
  );
}

function drawNone(none, newest, overview) {
  const empty = newest.childElementCount === 0 && newest.dataset.loaded === "1";
  none.hidden = !empty;
  const first = overview?.folders[0];
  if (!empty || !overview) return;
  if (!first) {
    redraw(none, "no folder", () => el("div", { class: "empty" }, icon("folder"), el("p", { class: "empty-title" }, t("settings.none")), el("a", { class: "button primary", href: "#/welcome" }, t("inbox.add"))));
    return;
  }
  const busy = first.waiting + first.working > 0;
  redraw(none, [first.input, busy], () =>
    el("div", { class: "empty" }, icon(busy ? "again" : "inbox"), el("p", { class: "empty-title" }, t(busy ? "inbox.firstSoon" : "inbox.empty")), busy ? null : el("p", {}, t("inbox.emptyHow")), busy ? null : el("p", {}, name(first.input, { class: "path" }))),
  );
}

function keepPlot(plot, signal) {
  let timer = 0;
  const draw = async () => {
    clearTimeout(timer);
    try {
      const found = await read("throughput", {}, { signal });
      redraw(plot, found, () => throughputPlot(found));
    } catch {
      // The frame says when nobody answers; a plot that is a minute old harms nobody.
    }
    if (!signal.aborted) timer = setTimeout(draw, 30_000);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  on("jobs", throttled(draw, 5000, signal), signal);
  draw();
}

function throttled(run, pause, signal) {
  let waiting = 0;
  signal.addEventListener("abort", () => clearTimeout(waiting));
  return () => {
    waiting ||= setTimeout(() => ((waiting = 0), run()), pause);
  };
}

async function keepNewest(list, signal, changed) {
  const add = (jobs) => {
    const coming = jobs.filter((job) => SHOWN.includes(job.state));
    for (const job of coming) {
      const old = list.querySelector(`[data-job="${Number(job.job)}"]`);
      if (old && old.contains(document.activeElement)) continue;
      old?.remove();
      list.prepend(cutout(job));
    }
    while (list.childElementCount > NEWEST) list.lastElementChild.remove();
    changed();
    return coming.length;
  };
  let told = 0;
  let count = 0;
  const order = new AnswerOrder();
  const awaited = new Set(); // for each answer that is awaited, what ended since it was asked for
  on("jobs", ({ ended, more }) => {
    if (more) load().catch(() => {}); // where nobody answers, the frame says so
    else {
      for (const since of awaited) since.push(...ended);
      count += add([...ended].reverse());
    }
    if (count && Date.now() - told > 10_000) {
      announce(t("inbox.came", { count }));
      [told, count] = [Date.now(), 0];
    }
  }, signal);
  const load = async () => {
    const [isNews, since] = [order.ask(), []];
    awaited.add(since);
    const { jobs } = await read("jobs", { state: SHOWN, sort: "newest", limit: NEWEST }, { signal }).finally(() => awaited.delete(since));
    if (!isNews()) return;
    drawAnew(list, jobs);
    list.dataset.loaded = "1";
    add(since.reverse());
  };
  on("connection", ({ up }) => up && load().catch(() => {}), signal);
  const clock = setInterval(() => list.querySelectorAll("time").forEach((one) => (one.textContent = ago(one.dateTime))), 30_000);
  signal.addEventListener("abort", () => clearInterval(clock));
  await load();
}

/* All tiles, in the answer's order. The one with the focus stays if it is among them: others may be of a journal that is gone. */
function drawAnew(list, jobs) {
  const coming = jobs.filter((job) => SHOWN.includes(job.state));
  const focused = [...list.children].find((one) => one.contains(document.activeElement));
  const at = focused ? coming.findIndex((job) => focused.dataset.picture === pictureOf(job)) : -1;
  for (const one of [...list.children]) if (one !== focused || at < 0) one.remove();
  coming.forEach((job, i) => {
    if (i < at) focused.before(cutout(job));
    else if (i > at) list.append(cutout(job));
  });
  if (focused && at < 0) list.querySelector("a")?.focus({ preventScroll: true });
}

function pictureOf({ job, folder, path }) {
  return JSON.stringify([job, folder, path]);
}

function cutout(job) {
  const held = job.state === "review";
  return el(
    "li",
    { class: "cutout", data: { job: job.job, picture: pictureOf(job) } },
    el(
      "a",
      { href: href("/review", { job: job.job }) },
      el("span", { class: "cutout-picture with-word checker" }, waitingPicture(picture.thumb(job.job, "cutout", job.seen), isEmpty(job) ? t("reason.no_subject") : "")),
      el("span", { class: "cutout-name ellipsis", title: plain(job.path) }, name(job.name)),
      el(
        "span",
        { class: "cutout-line small" },
        held || job.doubtful ? el("span", { class: "chip warn" }, doubtOf(job, held)) : null,
        el("time", { class: "secondary", datetime: job.at }, ago(job.at)),
      ),
    ),
  );
}

function isEmpty({ reasons }) {
  return (reasons ?? []).some(({ code }) => code === "no_subject");
}

/* The first reason, or that there is a doubt. */
function doubtOf(job, held) {
  const state = t(held ? "state.review" : "state.doubtful");
  const [first] = job.reasons ?? [];
  return first && has(`reason.${first.code}`) ? `${state}: ${t(`reason.${first.code}`)}` : state;
}
