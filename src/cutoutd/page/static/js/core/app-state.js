/**
 * What all views share: the session and the newest overview. Views read it and hear of changes; nobody else asks for the overview.
 *
 *   overview()                     the newest, or null
 *   onOverview(draw, signal)       now, if there is one, and at every change
 */

import { on, read } from "./api.js";
import { StoredValue } from "./stored-value.js";

/** The filter of Review, to which Fix leads back. */
export const reviewFilter = new StoredValue(sessionStorage, "cutoutd-review", {});

const bus = new EventTarget();
let session = {};
let newest = null;
let asking = null; // the answer that is awaited
let isOld = false; // whether that answer may be older than what was heard since, or than what it is to show

export function setSession(value) {
  session = value;
}

export function getSession() {
  return session;
}

export function overview() {
  return newest;
}

export function onOverview(draw, signal) {
  bus.addEventListener("change", () => draw(newest), { signal });
  if (newest) draw(newest);
}

/** Asks for the overview again, such as after a change that no event may tell of. */
export function refresh() {
  isOld = true;
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

async function ask() {
  try {
    while (isOld) {
      isOld = false;
      const found = await read("overview");
      if (!isOld) take(found);
    }
  } catch {
    // The frame says that nobody answers, and the stream's next opening asks again.
  }
}

function hear(value) {
  isOld = true;
  take(value);
}

function take(value) {
  newest = value;
  bus.dispatchEvent(new Event("change"));
}

export function startState() {
  on("overview", hear);
  on("settings", refresh);
  on("connection", ({ up }) => up && refresh());
  refresh();
}
