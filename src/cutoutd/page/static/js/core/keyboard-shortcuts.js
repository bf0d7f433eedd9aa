/**
 * All keyboard shortcuts, in one table. A key means the same in every view; a view says what it does for an action:
 *
 *   bind({ accept: () => ..., next: (event) => ... }, signal)
 *
 * An action of a later `bind` goes before an earlier one's. While somebody types into a field, or a dialog is open, letters are letters.
 * Single letters can be switched off in the help (some people's software types them); arrows, Escape and Ctrl go on.
 */

import { showInformation } from "./dialogs.js";
import { el } from "./dom.js";
import { t } from "./text.js";

/** Group, action, keys (the first is shown; "mod" is Ctrl, or Cmd on a Mac; "[" is hard to type on some keyboards). The words are `key.ACTION` and `keys.GROUP` in the catalogue. */
const SHORTCUTS = [
  ["everywhere", "inbox", "1"],
  ["everywhere", "review", "2"],
  ["everywhere", "failures", "3"],
  ["everywhere", "left", "4"],
  ["everywhere", "settings", "5"],
  ["everywhere", "filter", "/"],
  ["everywhere", "undo", "mod+z"],
  ["everywhere", "help", "?"],
  ["everywhere", "escape", "Escape"],
  ["pictures", "next", "ArrowRight"],
  ["pictures", "previous", "ArrowLeft"],
  ["pictures", "extendNext", "shift+ArrowRight"],
  ["pictures", "extendPrevious", "shift+ArrowLeft"],
  ["pictures", "first", "Home"],
  ["pictures", "last", "End"],
  ["pictures", "all", "mod+a"],
  ["decide", "accept", "a"],
  ["decide", "reject", "x"],
  ["decide", "undecided", "u"],
  ["decide", "again", "r"],
  ["decide", "againWith", "shift+r"],
  ["decide", "fix", "e"],
  ["look", "zoom", "z"],
  ["look", "compare", "Space"],
  ["look", "wipe", "w"],
  ["look", "backdrop", "b"],
  ["brush", "keep", "k"],
  ["brush", "remove", "d"],
  ["brush", "paint", "p"],
  ["brush", "smaller", "[ -"],
  ["brush", "larger", "] +"],
  ["brush", "suggestion", "Tab"],
  ["brush", "redo", "mod+y"],
  ["brush", "undoAll", "mod+shift+z"],
  ["brush", "save", "mod+Enter"],
].map(([group, action, keys]) => ({ group, action, keys: keys.split(" ") }));

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const OFF = "cutoutd-letters-off";
const bound = [];

/** Binds functions to actions until `signal` is aborted. One that returns false leaves the key to the browser. */
export function bind(actions, signal) {
  bound.unshift(actions);
  signal?.addEventListener("abort", () => bound.splice(bound.indexOf(actions), 1));
}

function pressed(event) {
  const key = event.key === " " ? "Space" : event.key;
  const letter = key.length === 1;
  const shift = event.shiftKey && (!letter || /[a-z]/i.test(key));
  const mod = MAC ? event.metaKey : event.ctrlKey;
  return `${mod ? "mod+" : ""}${shift ? "shift+" : ""}${letter ? key.toLowerCase() : key}`;
}

function typing(target) {
  return target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]") !== null;
}

/* Keys by which the browser operates what has the focus: a button's Space, a link's Enter, a list's arrows. */
function ofControl(event) {
  if (event.key === " ") return event.target.closest("button, a, input, summary, [role=button]") !== null;
  if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") {
    return event.target.closest("[role=radiogroup], [type=radio], [type=range], [role=tablist], [data-own-arrows]") !== null;
  }
  return false;
}

function lettersOff() {
  return localStorage.getItem(OFF) === "1";
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing || (MAC ? event.ctrlKey : event.metaKey)) return;
  if (!(event.target instanceof Element) || document.querySelector("dialog[open]")) return;
  const key = pressed(event);
  const found = SHORTCUTS.find((one) => one.keys.includes(key));
  if (!found) return;
  if (typing(event.target) && found.action !== "escape") return;
  if (lettersOff() && key.length === 1 && found.action !== "help") return;
  if (key === "Tab" ? !event.target.closest("[data-own-tab]") : ofControl(event)) return;
  const owner = bound.find((one) => one[found.action]);
  if (owner && owner[found.action](event) !== false) event.preventDefault();
});

const SIGNS = { ArrowRight: "→", ArrowLeft: "←", Enter: "↵", mod: MAC ? "⌘" : "Ctrl", shift: MAC ? "⇧" : "Shift" };

/** The key of an action as people read it, for a hint beside a button: "Ctrl+Z". */
export function keyOf(action) {
  const found = SHORTCUTS.find((one) => one.action === action);
  return found ? found.keys[0].split("+").map(sign).join("+") : "";
}

function sign(part) {
  if (part in SIGNS) return SIGNS[part];
  return ["Space", "Tab", "Escape", "Home", "End"].includes(part) ? t(`keyname.${part}`) : part.toUpperCase();
}

/** Shows all keys; those that do something in this view stand out. */
export function showHelp() {
  const groups = [...new Set(SHORTCUTS.map((one) => one.group))];
  const letters = el("input", { type: "checkbox", checked: !lettersOff(), on: { change: ({ target }) => localStorage.setItem(OFF, target.checked ? "0" : "1") } });
  showInformation(t("keys.title"), [
    el("p", { class: "secondary keys-how" }, t("keys.how")),
    el("div", { class: "keys" }, groups.map(helpGroup)),
    el("label", { class: "check" }, letters, t("keys.letters")),
  ]);
}

function helpGroup(group) {
  const rows = SHORTCUTS.filter((one) => one.group === group).map(({ action }) =>
    el(
      "div",
      { class: bound.some((one) => one[action]) ? "key-row" : "key-row elsewhere" },
      el("dt", {}, el("kbd", {}, keyOf(action))),
      el("dd", {}, t(`key.${action}`)),
    ),
  );
  return el("section", {}, el("h3", {}, t(`keys.${group}`)), el("dl", {}, rows));
}
