/** The frame of Fix: the bar with its heading, the picture that is drawn on, the panel. It knows no strokes. */

import { watchBottomBar } from "../components/bottom-bar.js";
import { el, icon, name, plain, put } from "../core/dom.js";
import { t } from "../core/text.js";
import { drawPictureView } from "../viewer/picture-view.js";

const HOW = "fix-how";

export class FixScreen {
  /** `leave()` is called by the arrow in the bar. */
  constructor(place, { viewer, toolbar, panel, leave, signal }) {
    this.picture = viewer.element;
    this.picture.setAttribute("role", "application");
    this.picture.setAttribute("aria-describedby", HOW);
    this.picture.dataset.ownTab = "";
    this.heading = el("h1", { class: "fix-heading ellipsis" }, t("fix.title"));
    this.busy = el("span", { class: "fix-busy", hidden: true }, icon("clock"), t("fix.working"));
    const back = el("button", { class: "button icon-only quiet", "aria-label": t("fix.do.leave"), title: t("fix.do.leave"), on: { click: leave } }, icon("back"));
    drawPictureView(place, {
      bar: [back, this.heading, this.busy, toolbar.element],
      above: el("p", { id: HOW, class: "visually-hidden" }, t("fix.how")),
      viewer,
      side: panel.element,
      signal,
    });
    watchBottomBar(signal)(panel.end);
  }

  /** Says which picture it is. */
  setName(file) {
    put(this.heading, t("fix.of"), " ", name(file));
    this.picture.setAttribute("aria-label", t("fix.picture", { name: plain(file) }));
  }
}
