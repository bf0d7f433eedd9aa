/** What left this machine: how much, when, where to; and four questions, each answered with what can be seen in the running system. */

import { read } from "../core/api.js";
import { el, icon, name, plain, prose, put } from "../core/dom.js";
import { bytes, coded, date, dateTime, number, said, t } from "../core/text.js";

export const title = "left.title";

const ROWS = 200;

export async function show(place, { signal }) {
  const found = await read("egress", {}, { signal });
  const trouble = found.trouble ?? "";
  const messages = found.messages ?? 0;
  const nothing = found.bytes === 0 && found.uploads === 0 && messages === 0 && !trouble;
  put(
    place,
    el("h1", { class: "visually-hidden" }, t(title)),
    el(
      "section",
      { class: "left-total" },
      icon(nothing ? "shield" : "left"),
      el(
        "div",
        {},
        el("p", { class: "left-figure" }, trouble ? t("left.unsure") : bytes(found.bytes)),
        trouble ? el("p", { class: "field-error" }, prose(said(trouble))) : el("p", {}, found.since ? t("left.since", { date: date(found.since) }) : t("left.ever")),
        el("p", { class: "secondary" }, trouble ? t("left.audit") : nothing ? t("left.nothing") : found.uploads ? t("left.uploads", { count: found.uploads, last: found.last ? dateTime(found.last) : "" }) : ""),
        messages && !trouble ? el("p", { class: "secondary" }, t("left.messages", { count: messages })) : null,
      ),
    ),
    el("section", { "aria-labelledby": "questions-title" }, el("h2", { id: "questions-title" }, t("left.questions")), el("div", { class: "questions" }, found.questions.map(question))),
    ledger(found, messages),
  );
}

function question({ code, answer, evidence }) {
  const shown = [evidence].flat().filter(Boolean);
  return el(
    "article",
    { class: "card question" },
    el("h3", {}, coded("question", code)),
    el("p", {}, prose(said(answer))),
    shown.length ? el("div", { class: "evidence" }, el("p", { class: "small secondary" }, t("left.evidence")), el("ul", {}, shown.map((one) => el("li", { class: "small" }, typeof one === "string" ? prose(said(one)) : plain(JSON.stringify(one)))))) : null,
  );
}

function ledger({ ledger: rows, uploads }, messages) {
  if (!rows.length) return null;
  return el(
    "section",
    { class: "ledger", "aria-labelledby": "ledger-title" },
    el("h2", { id: "ledger-title" }, t("left.ledger")),
    el("p", { class: "secondary" }, uploads + messages > rows.length ? t("left.newest", { count: Math.min(rows.length, ROWS) }) : t("left.whole")),
    el(
      "div",
      { class: "table-scroll", tabindex: "0", role: "group", "aria-labelledby": "ledger-title" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ["at", "folder", "host", "bytes", "status", "credits"].map((one) => el("th", { scope: "col", class: ["bytes", "credits"].includes(one) ? "figure-cell" : "" }, t(`ledger.${one}`))))),
        el("tbody", {}, rows.slice(0, ROWS).map(upload)),
      ),
    ),
  );
}

function upload(row) {
  return el(
    "tr",
    {},
    el("td", {}, dateTime(row.at)),
    el("td", {}, name(row.folder ?? "")),
    el("td", {}, plain(row.host ?? "")),
    el("td", { class: "figure-cell" }, bytes(row.bytes ?? 0)),
    el("td", {}, coded("upload", row.status)),
    el("td", { class: "figure-cell" }, typeof row.credits === "number" ? number(row.credits, 2) : ""),
  );
}
