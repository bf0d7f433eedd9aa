/**
 * Starts the page: pairs, loads texts, draws the frame, shows the view of the address. Holds no view's work.
 *
 * A view is the module `NAME/NAME-view.js`, named in VIEWS, with
 *
 *   export const title = "inbox.title";                   a key of the catalogue, for the window's title
 *   export async function show(place, { args, query, signal }) { ... }
 *
 * It fills `place` (an empty element in <main>), with one <h1>. `signal` is aborted when the view is left: give it to read(), on(), bind()
 * and addEventListener(). A view that takes the whole height sets place.classList.add("view-full").
 */

import { retryImages } from "./components/image-retry.js";
import { askTabs, connect, on, pair, read } from "./core/api.js";
import { setSession, startState } from "./core/app-state.js";
import { el, put } from "./core/dom.js";
import { bind, showHelp } from "./core/keyboard-shortcuts.js";
import { announce, fail } from "./core/messages.js";
import { go, route } from "./core/router.js";
import { errorText, loadTexts, t } from "./core/text.js";
import { hasUnsaved } from "./core/unsaved-work.js";
import * as left from "./egress/egress-view.js";
import * as failures from "./failures/failures-view.js";
import * as fix from "./fix/fix-view.js";
import * as inbox from "./inbox/inbox-view.js";
import * as review from "./review/review-view.js";
import * as settings from "./settings/settings-view.js";
import { showLocked } from "./shell/locked-screen.js";
import { drawFrame, markView } from "./shell/page-frame.js";
import * as welcome from "./welcome/welcome-view.js";

const VIEWS = { welcome, inbox, review, fix, failures, left, settings };

retryImages(document);

const RELOADED = "cutoutd-reloaded-for";

let leaving = new AbortController();
let first = true;
let newVersion = null; // of cutoutd, where it was updated since

async function showRoute() {
  if (reloadOnce()) return;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const wasAsked = !first; // also where the first view was left before it was whole
  first = false;
  const where = route();
  const view = where.view in VIEWS ? where.view : "inbox";
  const place = el("div", { class: `view view-${view}` });
  markView(view);
  try {
    put(document.getElementById("main"), place);
    document.title = `${t(VIEWS[view].title)} · cutoutd`;
    await VIEWS[view].show(place, { ...where, signal });
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (error.status !== 401) showTrouble(place, error, signal);
  }
  if (!signal.aborted && wasAsked) arrive(place);
}

/* Scripts of the previous version do not know what this one answers. Where something is not saved, the frame has a button. */
function reloadOnce() {
  if (newVersion === null || hasUnsaved() || sessionStorage.getItem(RELOADED) === newVersion) return false;
  sessionStorage.setItem(RELOADED, newVersion);
  location.reload();
  return true;
}

/* A view that was asked for has the focus on its heading, so that keyboard and screen reader begin there. */
function arrive(place) {
  const heading = place.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  announce(document.title.replace(" · cutoutd", ""));
}

function showTrouble(place, error, signal) {
  if ([0, 503].includes(error.status)) on("overview", showRoute, signal); // the journal answers again
  if (!error.code) console.error(error);
  put(document.getElementById("main"), place);
  put(
    place,
    el("div", { class: "empty" }, el("h1", {}, t("app.trouble")), el("p", {}, errorText(error)), el("button", { class: "button primary", on: { click: showRoute } }, t("app.tryAgain"))),
  );
}

async function start() {
  const code = location.hash.startsWith("#/") ? "" : location.hash.slice(1);
  if (code) history.replaceState(null, "", "#/inbox");
  await loadTexts();
  let wrong = null;
  try {
    if (code) await pair({ code });
  } catch (error) {
    wrong = error; // the code is spent, as after a reload; a browser that is paired already needs none
  }
  try {
    await askTabs();
    await enter();
  } catch (error) {
    showLocked(error.status === 401 ? (wrong ?? error) : error, enter);
  }
}

async function enter() {
  const session = await read("session");
  setSession(session);
  drawFrame();
  connect(session.version);
  startState();
  if (!session.configured && !["welcome"].includes(route().view)) go("/welcome", {}, { replace: true });
  window.addEventListener("hashchange", showRoute);
  await showRoute();
}

bind({
  ...Object.fromEntries(["inbox", "review", "failures", "left", "settings"].map((view) => [view, () => go(`/${view}`)])),
  help: showHelp,
});

on("locked", ({ error }) => {
  leaving.abort();
  showLocked(error, () => location.reload());
});
on("updated", ({ version }) => {
  newVersion = version;
  reloadOnce();
});
window.addEventListener("unhandledrejection", ({ reason }) => fail(reason));
start();
