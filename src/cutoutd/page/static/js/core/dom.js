/**
 * Builds elements. Takes no HTML: a string becomes text, so that a file's name is never markup.
 *
 *   el("button", { class: "button", on: { click: save }, disabled: true }, "Save")
 *   svg("path", { d: "M0 0h9" })
 *   el("h2", {}, name(job.name))         a name of a stranger's, with its control characters made visible
 */

const PROPERTIES = new Set(["value", "checked", "selected", "indeterminate", "disabled", "hidden", "open", "scrollTop"]);

/** An element. Props: class, on {event: function}, data {key: value}, style {property: value}, ref (called with the element); all else is
 * an attribute (null, undefined and false leave it out, true sets it empty). Children: nodes, texts, numbers, lists of these; null is left out. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function fill(element, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (key === "class") element.setAttribute("class", value);
    else if (key === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key === "style") for (const [name, one] of Object.entries(value)) element.style.setProperty(name, one);
    else if (key === "ref") value(element);
    else if (PROPERTIES.has(key)) element[key] = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false) element.setAttribute(key, String(value));
  }
  append(element, children);
  return element;
}

/** Adds children as `el` does. */
export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replaces all that is in an element. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/* What must not work in a name that a stranger chose: controls, marks that turn or hide text, line separators, lone surrogates. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\u3164\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function visible(mark) {
  const code = mark.charCodeAt(0);
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`; // a byte that is no UTF-8
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** A name as plain text, for attributes and announcements: what would be invisible is written out. */
export function plain(text) {
  return String(text).replace(UNSAFE, visible);
}

/** A sentence as nodes: what stands between backticks, such as a command, is code. */
export function prose(text) {
  return plain(text)
    .split(/(`[^`]+`)/)
    .map((part) => (/^`.+`$/.test(part) ? el("code", {}, part.slice(1, -1)) : part));
}

/** A name as an element: apart from the text's direction around it, and what would be invisible is marked. */
export function name(text, props = {}) {
  const element = el("bdi", { ...props, class: `name ${props.class ?? ""}`.trim() });
  let from = 0;
  for (const found of String(text).matchAll(UNSAFE)) {
    append(element, [text.slice(from, found.index), el("span", { class: "mark" }, visible(found[0]))]);
    from = found.index + found[0].length;
  }
  append(element, [String(text).slice(from)]);
  return element;
}

const PATHS = {
  inbox: "M3 13h5l1.5 3h5L16 13h5M5 5h14l2 8v6H3v-6z",
  review: "M3 5h18v14H3zM3 15l5-5 4 4 3-3 6 5",
  failures: "M12 4 2.5 20h19zM12 10v5M12 17.6v.4",
  left: "M4 12h13M12 6l6 6-6 6M20 4v16",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12-7.5z",
  help: "M9 9.2a3 3 0 1 1 4.6 2.5c-1 .6-1.6 1.2-1.6 2.3M12 17.4v.4",
  check: "M5 12.5 10 17.5 19.5 7",
  cross: "M6 6l12 12M18 6 6 18",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  up: "M12 19V5M5 12l7-7 7 7",
  folder: "M3 6h6l2 2.5h10V19H3z",
  again: "M20 11a8 8 0 1 0-.8 5M20 5v6h-6",
  brush: "M20 4 10.5 13.5M9 13c-2.5 0-3.5 2-3.5 4S4 20 3 20c5 1.5 9-.5 9-4z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  shield: "M12 3 4.5 6v6c0 4.5 3 7.5 7.5 9 4.5-1.5 7.5-4.5 7.5-9V6z",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.500l3 1.800",
  compare: "M12 4v16M5 7h7v10H5zM12 7h7v10h-7",
  drop: "M12 3.500c3.500 4.200 5.500 7 5.500 9.700a5.500 5.500 0 0 1-11 0c0-2.700 2-5.500 5.500-9.700z",
  filter: "M4 6h16M7 12h10M10 18h4",
  first: "M6 5v14M18 6l-8 6 8 6z",
  minus: "M5 12h14",
  plus: "M12 5v14M5 12h14",
  redo: "M15 7l5 5-5 5M20 12H10a6 6 0 0 0-6 6v1",
  warn: "M12 4 2.500 20h19zM12 10v5M12 17.600v.4",
  wipe: "M12 3v18M8 9l-3 3 3 3M16 9l3 3-3 3",
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6v1",
};

/** A line drawing of 24 px, for the eye alone: the words are beside it, or in the button's aria-label. */
export function icon(which, props = {}) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false", ...props },
    svg("path", { d: PATHS[which] }),
  );
}

/** Draws a place anew if `key` (what it is drawn from) is another than last time. The focus stays on what has the same data-keep. */
export function redraw(place, key, build) {
  const text = JSON.stringify(key);
  if (place.drawnFrom === text) return;
  place.drawnFrom = text;
  const kept = place.contains(document.activeElement) ? document.activeElement.closest("[data-keep]")?.dataset.keep : null;
  put(place, build());
  if (kept) [...place.querySelectorAll("[data-keep]")].find((one) => one.dataset.keep === kept)?.focus({ preventScroll: true });
}

/** Hears of an event of an object that says more in its `detail`, until `signal` is aborted. */
export function listen(target, event, run, signal) {
  target.addEventListener(event, ({ detail }) => run(detail), { signal });
}
