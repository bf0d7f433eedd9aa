/**
 * A long list as a window of pages: only the pages in view (and next to it) are in the document; of the others there is an empty element
 * of their height. The list's rows are fetched page by page. For a list whose rows differ in height.
 */

import { el, put } from "../core/dom.js";
import { fail } from "../core/messages.js";

export class PagedList {
  // `size` is the number of rows of a page, `height` about that of a row; `fetchPage(offset, limit, signal)` gives what `row(item)` makes
  // an element of.
  constructor({ place, size, height, fetchPage, row, signal }) {
    Object.assign(this, { place, size, height, fetchPage, row });
    this.pages = [];
    this.total = 0;
    this.asked = new AbortController();
    this.watcher = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "1000px 0px" });
    place.setAttribute("role", "list");
    signal.addEventListener("abort", () => {
      this.asked.abort();
      this.watcher.disconnect();
    });
  }

  /** Shows the list anew, from the start of what is in view. */
  reload(total) {
    this.asked.abort();
    this.asked = new AbortController();
    this.watcher.disconnect();
    this.total = total;
    this.pages = Array.from({ length: Math.ceil(total / this.size) }, (_, i) => this.#page(i * this.size));
    put(this.place, this.pages.map((page) => page.element));
    for (const page of this.pages) this.watcher.observe(page.element);
  }

  #page(from) {
    const rows = Math.min(this.size, this.total - from);
    return { from, state: "empty", element: el("div", { class: "page", role: "none", style: { "min-height": `${rows * this.height}px` } }) };
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const page = this.pages.find((one) => one.element === target);
      if (page?.state === "empty" && isIntersecting) this.#fill(page);
      if (page?.state === "full" && !isIntersecting) this.#empty(page);
    }
  }

  async #fill(page) {
    page.state = "asked";
    page.element.setAttribute("aria-busy", "true");
    const { signal } = this.asked;
    try {
      const items = await this.fetchPage(page.from, this.size, signal);
      if (signal.aborted) return;
      put(page.element, items.map((item, i) => this.#listed(item, page.from + i)));
      page.element.style.removeProperty("min-height");
      page.state = "full";
    } catch (error) {
      page.state = "empty";
      if (!signal.aborted) fail(error);
    } finally {
      page.element.removeAttribute("aria-busy");
    }
  }

  #empty(page) {
    if (page.element.contains(document.activeElement)) return;
    page.element.style.setProperty("min-height", `${page.element.getBoundingClientRect().height}px`);
    put(page.element);
    page.state = "empty";
  }

  #listed(item, index) {
    const element = this.row(item);
    element.setAttribute("role", "listitem");
    element.setAttribute("aria-setsize", this.total);
    element.setAttribute("aria-posinset", index + 1);
    return element;
  }
}
