/**
 * A long list as a window of pages: only the pages in view (and next to it) are in the document; of the others there is an empty element
 * of their height. The list's rows are fetched page by page. For a list whose rows differ in height.
 *
 *   const list = pagedList({ place, total, size: 50, height: 110, fetchPage: (offset, limit) => rows, row: (item, index) => element, signal })
 *   list.reload(total)        shows it anew from the start of what is in view
 */

import { el, put } from "../core/dom.js";
import { fail } from "../core/messages.js";

export function pagedList({ place, size = 50, height = 100, fetchPage, row, signal }) {
  let pages = [];
  let total = 0;
  let asked = new AbortController();
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) fill(pages.find((page) => page.element === target));
        else empty(pages.find((page) => page.element === target));
      }
    },
    { rootMargin: "1000px 0px" },
  );
  signal.addEventListener("abort", () => {
    asked.abort();
    watcher.disconnect();
  });

  async function fill(page) {
    if (!page || page.state !== "empty") return;
    page.state = "asked";
    page.element.setAttribute("aria-busy", "true");
    const mine = asked.signal;
    try {
      const items = await fetchPage(page.from, size, mine);
      if (mine.aborted || page.state !== "asked") return;
      put(page.element, items.map((item, i) => listed(item, page.from + i)));
      page.element.style.removeProperty("min-height");
      page.state = "full";
    } catch (error) {
      page.state = "empty";
      if (!mine.aborted) fail(error);
    } finally {
      page.element.removeAttribute("aria-busy");
    }
  }

  function empty(page) {
    if (!page || page.state !== "full" || page.element.contains(document.activeElement)) return;
    page.element.style.setProperty("min-height", `${page.element.getBoundingClientRect().height}px`);
    put(page.element);
    page.state = "empty";
  }

  function listed(item, index) {
    const element = row(item, index);
    element.setAttribute("role", "listitem");
    element.setAttribute("aria-setsize", total);
    element.setAttribute("aria-posinset", index + 1);
    return element;
  }

  return {
    reload(count) {
      asked.abort();
      asked = new AbortController();
      watcher.disconnect();
      total = count;
      place.setAttribute("role", "list");
      pages = Array.from({ length: Math.ceil(total / size) }, (_, i) => {
        const rows = Math.min(size, total - i * size);
        return { from: i * size, state: "empty", element: el("div", { class: "page", role: "none", style: { "min-height": `${rows * height}px` } }) };
      });
      put(place, pages.map((page) => page.element));
      for (const page of pages) watcher.observe(page.element);
    },
  };
}
