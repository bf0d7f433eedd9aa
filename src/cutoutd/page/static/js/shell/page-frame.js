/**
 * The frame around every view: navigation with counts, whether cutoutd runs, pause, help, and the notices that concern all views.
 */

import { mayWrite, on, read, write } from "../core/api.js";
import { getSession, onOverview, refresh } from "../core/app-state.js";
import { el, icon, put, redraw } from "../core/dom.js";
import { keyOf, showHelp } from "../core/keyboard-shortcuts.js";
import { fail } from "../core/messages.js";
import { errorText, number, t } from "../core/text.js";

const NAVIGATION = ["inbox", "review", "failures", "left", "settings"];
const COUNTS = { review: (folder) => folder.review + folder.doubtful, failures: (folder) => folder.failed };
let state = { up: true, updated: null, trouble: null, overview: null, view: "" };

export function drawFrame() {
  const main = el("main", { id: "main", tabindex: "-1" });
  put(
    document.getElementById("app"),
    el("button", { class: "skip", on: { click: () => main.focus() } }, t("app.skip")),
    el(
      "header",
      { class: "bar" },
      el("a", { class: "brand", href: "#/inbox", "aria-label": t("app.home") }, el("img", { src: "/static/icon.svg", alt: "", width: 28, height: 28 }), el("span", {}, "cutoutd")),
      el("nav", { class: "nav", "aria-label": t("app.navigation") }, el("ul", {}, NAVIGATION.map(entry))),
      el("div", { class: "bar-end" }, el("div", { id: "running", class: "running" }), el("button", { class: "button icon-only quiet help", "aria-label": t("app.help"), title: `${t("app.help")} (?)`, on: { click: showHelp } }, icon("help"))),
    ),
    el("section", { id: "notices", class: "notices", "aria-label": t("app.notices"), hidden: true }, el("div", { role: "status" })),
    main,
    el("section", { id: "toasts", class: "toasts", "aria-label": t("app.messages") }),
  );
  onOverview((overview) => update({ overview }));
  on("connection", ({ up }) => {
    update({ up });
    if (up) renewTrouble();
  });
  on("updated", (updated) => update({ updated }));
  on("token", () => update({}));
  on("trouble", (trouble) => {
    update({ trouble });
    if (!trouble) refresh();
  });
  update({ trouble: getSession().trouble });
}

/* The end of a trouble is told by the process that told of the trouble alone: one that was started since knows nothing of it. */
async function renewTrouble() {
  const session = await read("session").catch(() => null);
  if (session) update({ trouble: session.trouble });
}

function entry(view) {
  return el(
    "li",
    {},
    el(
      "a",
      { href: `#/${view}`, data: { view }, title: `${t(`${view}.title`)} (${keyOf(view)})` },
      icon(view),
      el("span", { class: "nav-text" }, t(`${view}.title`)),
      view in COUNTS ? el("span", { class: "count", hidden: true }) : null,
    ),
  );
}

/** Marks the navigation's entry of a view. */
export function markView(view) {
  for (const link of document.querySelectorAll(".nav a")) {
    if (link.dataset.view === (view === "fix" ? "review" : view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  update({ view });
}

function update(change) {
  state = { ...state, ...change };
  const { overview, up } = state;
  for (const [view, count] of Object.entries(COUNTS)) {
    const total = (overview?.folders ?? []).reduce((sum, folder) => sum + count(folder), 0);
    const badge = document.querySelector(`.nav a[data-view=${view}] .count`);
    badge.hidden = total === 0;
    put(badge, total > 9999 ? "9999+" : number(total), el("span", { class: "visually-hidden" }, ` ${t(`app.count.${view}`, { count: total })}`));
  }
  drawRunning(overview, up);
  const place = document.getElementById("notices");
  const found = notices();
  place.hidden = found.length === 0;
  redraw(place.firstElementChild, found, () => found.map(notice));
}

function drawRunning(overview, up) {
  if (!overview && up) return;
  const kind = !up ? "lost" : !overview.configured && !getSession().configured && !state.trouble ? "unconfigured" : !overview.running ? "stopped" : overview.paused ? "paused" : "running";
  const place = document.getElementById("running");
  if (place.dataset.kind === kind) return;
  place.dataset.kind = kind;
  const paused = kind === "paused";
  const focused = place.contains(document.activeElement);
  put(
    place,
    el("span", { class: `indicator ${kind === "unconfigured" ? "off" : kind}` }),
    el("span", { class: "running-text" }, t(`app.${kind}`)),
    kind === "running" || paused
      ? el("button", { class: "button quiet pause", "aria-label": t(paused ? "app.resume" : "app.pause"), title: t(paused ? "app.resume" : "app.pause"), on: { click: () => setPaused(!paused) } }, icon(paused ? "play" : "pause"))
      : null,
  );
  if (focused) place.querySelector("button")?.focus();
}

let wanted = null; // true: paused
let isPausing = false;

/**
 * Stops or goes on with cutting, in all folders. It takes the daemon a moment: until then the overview is asked for again. One request
 * is sent at a time, so that of two clicks the later one counts.
 */
async function setPaused(paused) {
  wanted = paused;
  if (isPausing) return;
  isPausing = true;
  let sent = null;
  try {
    while (sent !== wanted) {
      sent = wanted;
      await write("pause", { paused: sent });
      await untilObeyed(sent);
    }
  } catch (error) {
    fail(error);
  } finally {
    isPausing = false;
  }
}

async function untilObeyed(paused) {
  for (let tries = 0; tries < 20 && wanted === paused && state.overview?.paused !== paused; tries++) {
    await refresh();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/* What concerns every view. The inbox says what concerns one folder. */
function notices() {
  const { overview, up, updated, trouble } = state;
  const found = [];
  if (updated) found.push({ kind: "info", text: t("notice.updated", updated), does: "reload" });
  if (!up) found.push({ kind: "warn", text: t("notice.lost") });
  else if (overview && overview.configured && !overview.running && state.view !== "welcome") found.push({ kind: "warn", text: t("notice.stopped") });
  if (up && trouble) found.push({ kind: "warn", text: errorText(trouble) });
  if (overview?.rebuilt) found.push({ kind: "warn", text: t("notice.rebuilt"), does: overview.running && !overview.paused && mayWrite() ? "understood" : "" });
  if (!mayWrite()) found.push({ kind: "info", text: t("notice.readOnly") });
  return found;
}

/* "Go on" also ends the notice of a journal that was made anew. */
const DOES = { reload: () => location.reload(), understood: () => write("pause", { paused: false }).catch(fail) };

function notice({ kind, text, does = "" }) {
  const button = does ? el("button", { class: "button", data: { keep: does }, on: { click: DOES[does] } }, t(`app.${does}`)) : null;
  return el("div", { class: `notice ${kind}` }, el("p", {}, text), button);
}
