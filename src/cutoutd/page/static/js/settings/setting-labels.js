/** The settings of a folder in words, and the groups in which they stand. */

import { coded, number, t } from "../core/text.js";

/* Order and headings of the form. A key that is in none stands at the end. */
const GROUPS = {
  rendition: [],
  matte: [],
  doubt: ["review_below", "doubtful_below"],
  pictures: ["recursive", "include", "exclude", "existing", "raw_pairs", "pair_wait_s"],
  names: ["originals", "metadata", "derived_from", "names", "moves", "on_conflict"],
  pace: ["order", "watch", "settle_s", "poll_interval_s", "rescan_interval_s"],
};

/* What few people set of an output. */
const RARE = ["quality", "bits", "channels", "margin", "position", "shadow", "profile", "dpi", "max_kb", "min_quality", "min_px", "max_px", "max_enlargement"];

export function isRare({ key }) {
  return key.startsWith("rendition.") && RARE.includes(key.split(".").at(-1));
}

/* "rendition.2" of several results, "matte", or the group that lists the key. */
export function groupOf(key) {
  if (key.includes(".")) return key.slice(0, key.lastIndexOf("."));
  return Object.keys(GROUPS).find((group) => GROUPS[group].includes(key)) ?? "other";
}

export function groupsInOrder(groups) {
  const place = (group) => (Object.keys(GROUPS).indexOf(group.split(".")[0]) + 100) % 100;
  return groups.sort((one, other) => place(one) - place(other));
}

export function groupLabel(group) {
  const [kind, which] = group.split(".");
  return `${coded("settingsgroup", kind)}${which ? ` ${which}` : ""}`;
}

export function fieldLabel(field) {
  return coded("setting", withoutNumber(field.key), field.key.split(".").at(-1).replaceAll("_", " "));
}

/* A key without the number of its result, as the catalogue has it: "rendition.format" for "rendition.2.format". */
export function withoutNumber(key) {
  return key.replace(/\.\d+\./, ".");
}

/* The reference speaks of a file's "true" and "false"; here it is a switch. */
export function fieldHelp(field) {
  const text = coded("explain", withoutNumber(field.key), field.explanation);
  if (field.kind !== "bool") return text;
  const said = (key) => t(key).replace(/^./, (letter) => letter.toUpperCase());
  return text.replace(/\btrue:/g, `${said("settings.on")}:`).replace(/\bfalse:/g, `${said("settings.off")}:`);
}

export function valueText(value, field) {
  if (field.kind === "bool") return t(value ? "settings.on" : "settings.off");
  if (field.kind === "choice") return coded(`choice.${withoutNumber(field.key)}`, value || t("settings.empty"));
  if (value === "" || value === null) return t("settings.empty");
  const isNumber = !Number.isNaN(Number(value)); // "auto" of seconds is no number of them
  return `${typeof value === "number" ? number(value, 3) : value}${field.unit && isNumber ? ` ${field.unit}` : ""}`;
}
