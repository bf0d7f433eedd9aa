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
let asking = false;

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
export async function refresh() {
  if (asking) return;
  asking = true;
  try {
    take(await read("overview"));
  } catch {
    // The frame says that nobody answers, and the stream's next opening asks again.
  } finally {
    asking = false;
  }
}

function take(value) {
  newest = value;
  bus.dispatchEvent(new Event("change"));
}

export function startState() {
  on("overview", take);
  on("settings", refresh);
  on("connection", ({ up }) => up && refresh());
  refresh();
}
