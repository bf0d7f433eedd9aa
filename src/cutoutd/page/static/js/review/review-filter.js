/** The filter of Review: what it is now, in words, and the fields that change it. Asks the backend for nothing. */

import { el, icon, put } from "../core/dom.js";
import { keyOf } from "../core/keyboard-shortcuts.js";
import { percent, t } from "../core/text.js";

/** Lists that people ask for, and the words that the backend has for them. */
const LISTS = {
  look: ["doubtful", "review"],
  all: ["doubtful", "done", "review", "rejected"],
  review: ["review"],
  doubtful: ["doubtful"],
  done: ["done"],
  rejected: ["rejected"],
};
const REASONS = ["missing", "kept", "equals", "veil", "page", "unsure", "touching_border", "small", "few_for_canvas", "few_pixels", "no_subject"];
const SCORES = [0.3, 0.5, 0.7, 0.9];
const TYPING_MS = 250;

/** The filter as an address has it. */
export function filterOf(query) {
  return {
    list: query.get("state") in LISTS ? query.get("state") : "look",
    folder: query.get("folder") ?? "",
    reason: REASONS.includes(query.get("reason")) ? query.get("reason") : "",
    below: Number(query.get("below")) || 0,
    q: query.get("q") ?? "",
  };
}

/** As an address has it; what is the default is left out. */
export function queryOf({ list, folder, reason, below, q }) {
  return { state: list === "look" ? "" : list, folder, reason, below: below || "", q };
}

/** What the backend is asked for. */
export function paramsOf({ list, folder, reason, below, q }) {
  return { state: LISTS[list], folder, reason, score_below: below || "", q, sort: "doubt" };
}

/** Whether a picture belongs to what the filter shows. */
export function matches({ list, folder, reason, below, q }, job) {
  const doubtful = job.doubtful && job.state === "done";
  return (
    (LISTS[list].includes(job.state) || (doubtful && LISTS[list].includes("doubtful"))) &&
    (!folder || job.folder === folder) &&
    (!reason || job.reasons.some(({ code }) => code === reason)) &&
    (!below || (job.score ?? Infinity) < below) &&
    (!q || job.path.toLowerCase().includes(q.toLowerCase()))
  );
}

export class ReviewFilter extends EventTarget {
  // Event: "change" with the new filter.
  constructor(filter) {
    super();
    this.filter = filter;
    this.folders = [];
    this.panel = el("form", { class: "filter-panel", hidden: true, id: "filter-panel", "aria-label": t("review.filter"), on: { submit: (event) => event.preventDefault() } });
    this.summary = el("span", { class: "ellipsis" });
    this.button = el(
      "button",
      { class: "button filter-button", "aria-expanded": "false", "aria-controls": "filter-panel", title: `${t("review.filter")} (${keyOf("filter")})`, on: { click: () => this.toggle() } },
      icon("filter"),
      this.summary,
    );
    this.panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    this.#draw();
  }

  setFolders(names) {
    if (names.join("\n") === this.folders.join("\n")) return;
    this.folders = names;
    if (!this.panel.contains(document.activeElement)) this.#draw();
  }

  get isDefault() {
    const { list, folder, reason, below, q } = this.filter;
    return list === "look" && !folder && !reason && !below && !q;
  }

  toggle() {
    if (this.panel.hidden) this.open();
    else this.close();
  }

  open() {
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.search.focus();
    this.search.select();
  }

  close() {
    const inside = this.panel.contains(document.activeElement);
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (inside) this.button.focus();
  }

  set(change) {
    this.filter = { ...this.filter, ...change };
    this.#say();
    this.dispatchEvent(new CustomEvent("change", { detail: this.filter }));
  }

  reset() {
    this.set(filterOf(new URLSearchParams()));
    this.#draw();
  }

  #draw() {
    const { filter } = this;
    this.search = el("input", { class: "field", type: "search", id: "filter-q", value: filter.q, autocomplete: "off", spellcheck: "false", on: { input: () => this.#typed() } });
    put(
      this.panel,
      field("filter-q", t("review.filter.name"), this.search),
      this.#choice("list", t("review.filter.state"), Object.keys(LISTS).map((one) => [one, t(`review.list.${one}`)])),
      this.#choice("folder", t("review.filter.folder"), [["", t("review.filter.any")], ...this.#folderNames().map((one) => [one, one])]),
      this.#choice("reason", t("review.filter.reason"), [["", t("review.filter.any")], ...REASONS.map((one) => [one, t(`reason.${one}`)])]),
      this.#choice("below", t("review.filter.score"), [["0", t("review.filter.any")], ...SCORES.map((one) => [String(one), t("review.filter.below", { score: percent(one) })])]),
      el(
        "div",
        { class: "filter-actions" },
        el("button", { class: "button", type: "button", on: { click: () => this.reset() } }, t("review.filter.reset")),
        el("button", { class: "button primary", type: "button", on: { click: () => this.close() } }, t("app.close")),
      ),
    );
    this.#say();
  }

  #folderNames() {
    const { folder } = this.filter;
    return folder && !this.folders.includes(folder) ? [folder, ...this.folders] : this.folders;
  }

  #choice(key, label, options) {
    const now = String(this.filter[key]);
    const select = el(
      "select",
      { class: "select", id: `filter-${key}`, on: { change: () => this.set({ [key]: key === "below" ? Number(select.value) : select.value }) } },
      options.map(([value, text]) => el("option", { value, selected: value === now }, text)),
    );
    return field(`filter-${key}`, label, select);
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.set({ q: this.search.value.trim() }), TYPING_MS);
  }

  #say() {
    const { list, folder, reason, below, q } = this.filter;
    const parts = [t(`review.list.${list}`), folder, reason && t(`reason.${reason}`), below && t("review.filter.below", { score: percent(below) }), q && `“${q}”`];
    this.summary.textContent = parts.filter(Boolean).join(" · ");
  }
}

function field(id, label, control) {
  return el("div", {}, el("label", { class: "label", for: id }, label), control);
}
