/**
 * Requests to cutoutd, and its events. Holds the token that a write needs; it is kept in sessionStorage, which belongs to
 * this address and port, and is handed to other tabs of the same address by a BroadcastChannel, never put into an address or a cookie.
 *
 *   await read("jobs", { folder: ["shop"], state: ["review"], limit: 200 }, { signal })
 *   await write("decide", { verb: "accept", items }, { signal, request })      `request`: an id by which it is carried out once; see idempotent-request.js
 *   on("jobs", ({ ended }) => ..., signal)      jobs, overview, decided, settings, trouble, hello; and of our own: connection {up}, updated {version}
 */

import { newRequestId } from "./idempotent-request.js";

const TOKEN = "cutoutd-token";
const EVENTS = ["jobs", "overview", "decided", "settings", "trouble", "hello"];
const bus = new EventTarget();
const channel = new BroadcastChannel("cutoutd");
let stream = null;
let version = null;
let pause = 250;
let timer = 0;
let up = null;

/** A request that was refused, or had no answer: `status` 0. */
class ApiError extends Error {
  constructor(status, { code = "unknown", text = "", named = {} } = {}) {
    super(text || code);
    Object.assign(this, { status, code, text, named });
  }
}

/** Whether nobody answered: what was asked for may have been done all the same. */
export function hadNoAnswer({ status, code }) {
  return status === 0 || code === "backend";
}

function token() {
  return sessionStorage.getItem(TOKEN);
}

/** Whether this tab may change anything. */
export function mayWrite() {
  return token() !== null;
}

/** Spends a one-time code (or a password); from then on this tab may read and write. */
export async function pair(secret) {
  const answer = await send("/pair", { method: "POST", body: JSON.stringify(secret), headers: { "Content-Type": "application/json" } });
  sessionStorage.setItem(TOKEN, (await answer.json()).token);
  channel.postMessage({ token: token() }); // the cookie is a new one for all tabs, and goes with this token alone
}

/** Asks the other tabs of this address for their token; waits a moment at most. */
export function askTabs() {
  if (mayWrite()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(mayWrite()), 150);
    on("token", () => (clearTimeout(timer), resolve(true)));
    channel.postMessage({ ask: true });
  });
}

channel.addEventListener("message", ({ data }) => {
  hear(data);
  if (data.askUp && stream) channel.postMessage({ up });
  if (data.ask && mayWrite()) channel.postMessage({ token: token() });
  if (data.token && data.token !== token()) {
    sessionStorage.setItem(TOKEN, data.token);
    tell("token", {});
  }
});

/** Asks for something. Lists in params are repeated; null and undefined are left out. */
export async function read(method, params = {}, { signal } = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(key, one);
  }
  const answer = await send(`/api/${method}${query.size ? `?${query}` : ""}`, { signal });
  return answer.json();
}

/** Changes something. */
export async function write(method, body = {}, options = {}) {
  const answer = await post(method, body, options);
  return answer.status === 204 ? {} : answer.json();
}

/** Changes something whose answer is a picture: `{ blob, headers }`. */
export async function writeForBlob(method, body = {}, options = {}) {
  const answer = await post(method, body, options);
  return { blob: await answer.blob(), headers: answer.headers };
}

async function post(method, body, { request = newRequestId(), signal, keepalive = false } = {}) {
  if (!mayWrite()) throw new ApiError(403, { code: "read_only" });
  const headers = { "Content-Type": "application/json", "X-Cutoutd-Token": token(), "X-Cutoutd-Request": request };
  return send(`/api/${method}`, { method: "POST", body: JSON.stringify(body), headers, signal, keepalive });
}

async function send(address, options) {
  let answer;
  try {
    answer = await fetch(address, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setUp(false);
    if (stream) listen(); // which says when somebody answers again
    else channel.postMessage({ askUp: true });
    throw new ApiError(0, { code: "no_answer" });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  const error = new ApiError(answer.status, body.error);
  if (answer.status === 401) tell("locked", { error });
  throw error;
}

/** Why a picture does not come: an ApiError; null where it does by now. An <img> is not told; the question itself succeeds, so that the
 * browser's console has no error. */
export async function whyNot(address) {
  try {
    const answer = await send(address, { headers: { "X-Cutoutd-Why": "1" } });
    if (answer.headers.get("Content-Type")?.startsWith("application/json")) {
      const { status, error } = await answer.json();
      return new ApiError(status, error);
    }
    answer.body?.cancel();
    return null;
  } catch (error) {
    return error;
  }
}

/** Addresses of pictures; `v` is the version (JOB.seen, or that of a pyramid), by which a browser may keep them for ever. */
export const picture = {
  thumb: (job, kind, v) => `/img/${job}/${kind}/thumb?v=${encodeURIComponent(v ?? "")}`,
  tile: (job, kind, level, x, y, v) => `/img/${job}/${kind}/${level}/${x}/${y}?v=${encodeURIComponent(v ?? "")}`,
};

/** Hears of an event until `signal` is aborted. */
export function on(event, run, signal) {
  bus.addEventListener(event, ({ detail }) => run(detail), { signal });
}

function tell(event, detail) {
  bus.dispatchEvent(new CustomEvent(event, { detail }));
}

function setUp(now) {
  if (now === up) return;
  up = now;
  tell("connection", { up });
}

/** Whether cutoutd answers; null before the first answer. */
export function isUp() {
  return up;
}

/** Keeps a stream of events open, one for all tabs: browsers have six connections to a host. Whichever tab has the lock listens, and
 * tells the others; when it closes, another one goes on. After a break the stream is opened again, after pauses from a quarter of a second to 5 s. */
export function connect(ownVersion) {
  version = ownVersion;
  if (!navigator.locks) return listen();
  channel.postMessage({ askUp: true });
  navigator.locks.request("cutoutd-events", () => {
    listen();
    return new Promise(() => {}); // held as long as the tab is there
  });
}

function listen() {
  clearTimeout(timer);
  stream?.close();
  stream = new EventSource("/api/events");
  stream.addEventListener("open", () => {
    pause = 250;
    up = null; // views ask for what they missed
    share({ up: true });
  });
  stream.addEventListener("error", () => {
    stream.close();
    share({ up: false });
    timer = setTimeout(listen, pause);
    pause = Math.min(5000, pause * 2);
  });
  for (const event of EVENTS) stream.addEventListener(event, ({ data }) => share({ event, detail: JSON.parse(data) }));
}

/* To this tab and the others. */
function share(message) {
  hear(message);
  channel.postMessage(message);
}

function hear({ event, detail, up: isThere }) {
  if (isThere !== undefined) setUp(isThere);
  if (!event) return;
  if (event === "hello" && version && detail.version !== version) tell("updated", detail);
  tell(event, detail);
}
