/**
 * The sections of a folder's settings. All but the basic ones are closed at first; each says what in it is not as by default. A search
 * shows the settings that have all of its words, in whatever section they are.
 */

import { el, icon, put } from "../core/dom.js";
import { bind } from "../core/keyboard-shortcuts.js";
import { t } from "../core/text.js";
import { fieldHelp, fieldLabel, groupLabel, groupOf, groupsInOrder, isRare, valueText } from "./setting-labels.js";

const MOST_NAMED = 4; // in the line of a section
const ID = "settings-find";

export class SettingsSections {
  #chosen = new Map(); // what the person opened and closed: name of a section, and whether it is open
  #sections = []; // { name, fields, details, line, unsaved }
  #rows = new Map(); // key of a setting: its row, and the words in it

  constructor(signal) {
    this.search = el("input", { id: ID, class: "field", type: "search", autocomplete: "off", spellcheck: "false", on: { input: () => this.#narrow() } });
    this.count = el("p", { class: "secondary", role: "status" });
    this.finder = el("form", { class: "settings-find", role: "search", on: { submit: (event) => event.preventDefault() } }, el("label", { class: "label", for: ID }, t("settings.find")), this.search, this.count);
    bind({ filter: () => this.search.focus() }, signal);
  }

  /** Elements of all sections. `row(field)`: the element of a setting. */
  build(fields, row) {
    this.#sections = [];
    this.#rows.clear();
    const groups = groupsInOrder([...new Set(fields.map(({ key }) => groupOf(key)))]);
    const built = groups.map((group) => {
      const own = fields.filter(({ key }) => groupOf(key) === group);
      const rare = own.filter(isRare);
      const usual = own.filter((one) => !isRare(one)).map((one) => this.#row(one, row));
      const more = rare.length ? this.#section(`${group} rare`, rare, "h4", t("settings.rare"), rare.map((one) => this.#row(one, row))) : null;
      return this.#section(group, own, "h3", groupLabel(group), [usual, more]);
    });
    this.#narrow();
    return built;
  }

  /** Says in each section's line what it has. `now(field)`: its value; `isChanged(field)`: whether that is not saved. */
  describe(now, isChanged) {
    for (const { fields, line, unsaved } of this.#sections) {
      const own = fields.filter((one) => now(one) !== one.default).map((one) => `${fieldLabel(one)}: ${valueText(now(one), one)}`);
      const rest = own.length - MOST_NAMED;
      line.textContent = own.length ? [...own.slice(0, MOST_NAMED), ...(rest > 0 ? [t("settings.andMore", { count: rest })] : [])].join(" · ") : t("settings.asByDefault");
      const count = fields.filter(isChanged).length;
      unsaved.hidden = count === 0;
      unsaved.textContent = count ? t("settings.unsavedHere", { count }) : "";
    }
  }

  /** Opens what a setting is in, so that it can have the focus. */
  reveal(key) {
    if (this.#rows.get(key)?.row.hidden) {
      this.search.value = "";
      this.#narrow();
    }
    for (const { fields, details } of this.#sections) if (fields.some((one) => one.key === key)) details.open = true;
  }

  #row(field, build) {
    const row = build(field);
    const words = [fieldLabel(field), fieldHelp(field), field.key, valueText(field.value, field)].join(" ").toLocaleLowerCase();
    this.#rows.set(field.key, { row, words });
    return row;
  }

  #section(name, fields, heading, label, content) {
    const line = el("p", { class: "secondary small section-line" });
    const unsaved = el("span", { class: "chip warn", hidden: true });
    const summary = el("summary", {}, icon("next"), el("div", {}, el(heading, {}, label), line), unsaved);
    const note = () => this.search.value || this.#chosen.set(name, details.open);
    const details = el("details", { class: "section", on: { toggle: note } }, summary, el("div", { class: "section-body" }, content));
    this.#sections.push({ name, fields, details, line, unsaved });
    return details;
  }

  #narrow() {
    const wanted = this.search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const found of this.#rows.values()) {
      found.row.hidden = !wanted.every((word) => found.words.includes(word));
      count += found.row.hidden ? 0 : 1;
    }
    for (const { name, fields, details } of this.#sections) {
      const has = fields.some(({ key }) => !this.#rows.get(key).row.hidden);
      details.hidden = !has;
      details.open = wanted.length ? has : this.#chosen.get(name) ?? this.#isBasic(name);
    }
    put(this.count, wanted.length ? t("settings.found", { count }) : "");
  }

  // With several outputs the first thing to see is which there are.
  #isBasic(name) {
    return name === "doubt" || name === "rendition";
  }
}
