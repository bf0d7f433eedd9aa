/** The controls of Fix: kind, size and strength of the brush, suggestions, history, save. They do nothing by themselves. */

import { el, icon, put } from "../core/dom.js";
import { keyOf } from "../core/keyboard-shortcuts.js";
import { percent, t } from "../core/text.js";

const KINDS = ["keep", "remove", "paint"];
const SIGNS = { keep: "plus", remove: "minus", paint: "drop" };
const SIZES = 100; // steps of the slider, from 1 pixel to the largest brush

export class FixPanel {
  // `act(action, value)` does what a control says.
  constructor(act) {
    this.act = act;
    this.kinds = KINDS.map((kind) => this.#button(kind, SIGNS[kind], { class: `button kind kind-${kind}`, "aria-pressed": "false" }));
    this.size = el("input", { type: "range", id: "brush-size", min: 0, max: SIZES, on: { input: () => act("size", Number(this.size.value) / SIZES) } });
    this.alpha = el("input", { type: "range", id: "brush-alpha", min: 0, max: 100, step: 5, value: 100, on: { input: () => act("alpha", Number(this.alpha.value) / 100) } });
    this.sizeSaid = el("output", { for: "brush-size" });
    this.alphaSaid = el("output", { for: "brush-alpha" });
    this.alphaRow = slider("brush-alpha", t("fix.alpha"), this.alpha, this.alphaSaid);
    this.alphaRow.hidden = true; // only the exact brush has an opacity
    this.suggestion = this.#button("suggestion", "again", { class: "button", "aria-pressed": "false" });
    this.undo = this.#button("undo", "undo", { class: "button" });
    this.redo = this.#button("redo", "redo", { class: "button" });
    this.undoAll = this.#button("undoAll", "first", { class: "button quiet" });
    this.save = this.#button("save", "check", { class: "button primary" });
    this.leave = this.#button("leave", "back", { class: "button" });
    this.note = el("div", { class: "fix-note", role: "status" });
    this.tools = el(
      "div",
      { class: "fix-tools" },
      el("div", { class: "fix-kinds", role: "group", "aria-label": t("fix.kind") }, this.kinds),
      el("p", { class: "secondary small", ref: (one) => (this.hint = one) }),
      slider("brush-size", t("fix.size"), this.size, this.sizeSaid),
      this.alphaRow,
      this.suggestion,
      el("div", { class: "fix-history" }, this.undo, this.redo, this.undoAll),
    );
    this.element = el(
      "aside",
      { class: "side side-fix", "aria-label": t("fix.tools") },
      this.tools,
      (this.end = el("div", { class: "fix-end" }, this.note, this.save, this.leave)),
    );
  }

  /** `largest` is the largest radius. */
  drawBrush({ kind, radius, alpha }, largest) {
    for (const [i, button] of this.kinds.entries()) button.setAttribute("aria-pressed", String(KINDS[i] === kind));
    this.hint.textContent = t(`fix.hint.${kind}`);
    this.size.value = String(Math.round((Math.log(radius) / Math.log(largest)) * SIZES));
    this.sizeSaid.textContent = t("fix.pixels", { count: Math.round(radius * 2) });
    this.size.setAttribute("aria-valuetext", this.sizeSaid.textContent);
    this.alphaRow.hidden = kind !== "paint";
    this.alpha.value = String(Math.round(alpha * 100));
    this.alphaSaid.textContent = percent(alpha);
    this.alpha.setAttribute("aria-valuetext", this.alphaSaid.textContent);
  }

  drawHistory(history, { ready, saving, saved }) {
    const off = (button, is) => button.setAttribute("aria-disabled", String(is));
    off(this.undo, saving || (!history.canUndo && !saved));
    off(this.redo, saving || !history.canRedo);
    off(this.undoAll, saving || history.strokes.length === 0);
    off(this.save, !ready || saving || !history.changed);
    off(this.suggestion, !ready || saving || history.strokes.length === 0);
    this.suggestion.setAttribute("aria-pressed", String(history.suggestion === 1));
    for (const one of this.kinds) off(one, !ready || saving);
    this.tools.classList.toggle("waiting", !ready);
  }

  /** What is to be known now; with `again` a button that tries again. */
  say(text, kind = "", again = null) {
    this.note.className = `fix-note ${kind}`;
    if (this.said === text) return;
    this.said = text;
    put(this.note, el("p", {}, text), again ? el("button", { class: "button", on: { click: again } }, t("app.tryAgain")) : null);
  }

  #button(action, sign, props) {
    const label = t(`fix.do.${action}`);
    const key = keyOf(action === "leave" ? "escape" : action);
    return el(
      "button",
      {
        title: key ? `${label} (${key})` : label,
        ...props,
        data: { action },
        on: {
          click: ({ currentTarget }) => {
            if (currentTarget.getAttribute("aria-disabled") !== "true") this.act(action);
          },
        },
      },
      icon(sign),
      el("span", {}, label),
      key ? el("kbd", { "aria-hidden": "true" }, key) : null,
    );
  }
}

function slider(id, label, input, said) {
  return el("div", { class: "slider" }, el("label", { for: id }, label), said, input);
}
