/** Settings: a form for each folder. */

import { read } from "../core/api.js";
import { getSession } from "../core/app-state.js";
import { el, icon, name, put } from "../core/dom.js";
import { href } from "../core/router.js";
import { t } from "../core/text.js";
import { SettingsForm } from "./settings-form.js";

export const title = "settings.title";

export async function show(place, { args, signal }) {
  const chosen = args[0] ?? "";
  const tabs = el("nav", { class: "tabs", "aria-label": t("settings.folders") });
  const body = el("div", { class: "settings-body" });
  if (getSession().changeable === false) {
    put(place, el("div", { class: "view-head" }, el("h1", {}, t(title))), el("div", { class: "empty" }, icon("settings"), el("p", { class: "empty-title" }, t("settings.noConfig")), el("p", {}, t("settings.noConfigHow"))));
    return;
  }
  put(place, el("div", { class: "view-head" }, el("h1", {}, t(title)), el("a", { class: "button", href: "#/welcome" }, icon("folder"), t("inbox.add"))), tabs, body);
  const { folders } = await read("overview", {}, { signal });
  if (!folders.length) {
    put(body, el("div", { class: "empty" }, icon("folder"), el("p", { class: "empty-title" }, t("settings.none")), el("a", { class: "button primary", href: "#/welcome" }, t("inbox.add"))));
    return;
  }
  const folder = folders.find((one) => one.name === chosen) ?? folders[0];
  put(tabs, folders.map((one) => el("a", { href: href(`/settings/${encodeURIComponent(one.name)}`), "aria-current": one === folder ? "page" : null }, name(one.name))));
  await new SettingsForm(body, folder, signal).start();
}
