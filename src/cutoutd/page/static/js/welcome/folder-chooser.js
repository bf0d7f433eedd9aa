/**
 * Step 1 of a first run: the folders that may be watched, one inside the other, and what is known of each: what is in it, whether it can be
 * read and written. It is asked for again and again, so that what happens to the folder is seen.
 */

import { mayWrite, read } from "../core/api.js";
import { el, icon, name, plain, put, redraw } from "../core/dom.js";
import { errorText, t } from "../core/text.js";

const AGAIN_MS = 3000;

export class FolderChooser {
  // `chosen` takes what is chosen: the path `input`, whether it is `made`, and `places`, what is known of it, or of where it is made;
  // `done()` goes on.
  constructor(step, chosen, done, signal) {
    Object.assign(this, { chosen, done, signal });
    this.facts = el("div", { class: "facts", role: "status" });
    this.list = el("ul", { class: "folder-list" });
    this.current = el("div", { class: "current-folder" });
    this.next = el("button", { class: "button primary", disabled: true, on: { click: done } }, t("welcome.use"));
    this.fresh = el("input", { id: "new-folder", class: "field", placeholder: "to-cut", autocomplete: "off", spellcheck: "false" });
    put(
      step,
      el("h2", {}, t("welcome.folderTitle")),
      el("p", { class: "secondary" }, t("welcome.folderHow")),
      el("div", { class: "folder-browser card" }, this.current, this.list),
      this.facts,
      el("div", { class: "step-actions" }, this.next),
      el(
        "details",
        { class: "new-folder" },
        el("summary", {}, t("welcome.newFolder")),
        el(
          "form",
          { class: "inline-form", on: { submit: (event) => this.#make(event) } },
          el("label", { class: "label", for: "new-folder" }, t("welcome.newName")),
          el("div", { class: "toolbar" }, this.fresh, el("button", { class: "button", type: "submit" }, t("welcome.make"))),
        ),
      ),
    );
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  start() {
    this.#show("");
  }

  #make(event) {
    event.preventDefault();
    this.chosen.made = true;
    this.chosen.input = `${this.chosen.places.path.replace(/\/$/, "")}/${this.fresh.value.trim() || "to-cut"}`;
    this.done();
  }

  async #show(path) {
    clearTimeout(this.timer);
    try {
      const found = await read("places", { path }, { signal: this.signal });
      if (!this.list.isConnected) return;
      this.chosen.places = found;
      this.chosen.input = found.path;
      this.chosen.made = false;
      this.#draw(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      put(this.facts, el("p", { class: "field-error" }, errorText(error)));
    }
    if (!this.signal.aborted && this.list.isConnected) this.timer = setTimeout(() => this.#show(this.chosen.places?.path), AGAIN_MS);
  }

  async #enter(path) {
    await this.#show(path);
    (this.list.querySelector("button") ?? this.next).focus();
  }

  #draw(found) {
    redraw(this.current, [found.path, found.parent], () => [
      found.parent ? el("button", { class: "button quiet icon-only", "aria-label": t("welcome.up"), on: { click: () => this.#enter(found.parent) } }, icon("up")) : null,
      el("p", { class: "current-folder-path" }, name(found.path)),
    ]);
    redraw(this.list, found.folders, () => (found.folders.length ? found.folders.map((one) => this.#entry(one)) : el("li", { class: "secondary none" }, t("welcome.noFolders"))));
    redraw(this.facts, [found.readable, found.writable, found.pictures, found.pictures_more, found.unnamed, found.folders_more], () => factsOf(found));
    const isRoot = found.roots.includes(found.path);
    this.next.disabled = !found.readable || isRoot || !mayWrite();
    put(this.next, isRoot ? t("welcome.pick") : t("welcome.useThis", { name: plain(found.path.split("/").at(-1)) }));
  }

  #entry(folder) {
    return el("li", {}, el("button", { class: "button quiet place-button", data: { keep: folder.path }, on: { click: () => this.#enter(folder.path) } }, icon("folder"), name(folder.name)));
  }
}

function factsOf(found) {
  return [
    fact(found.readable, found.readable ? "welcome.readable" : "welcome.unreadable"),
    fact(found.writable, found.writable ? "welcome.writable" : "welcome.unwritable"),
    found.readable ? el("p", { class: "fact" }, icon("review"), t(found.pictures_more ? "welcome.picturesMore" : "welcome.pictures", { count: found.pictures })) : null,
    found.unnamed ? el("p", { class: "fact" }, t("welcome.unnamed", { count: found.unnamed })) : null,
    found.folders_more ? el("p", { class: "fact" }, t("welcome.foldersMore")) : null,
  ];
}

function fact(good, key) {
  return el("p", { class: good ? "fact good" : "fact bad" }, icon(good ? "check" : "cross"), t(key));
}
