/**
 * All words of the page come from here: `lang/en.json`, and another language over it where the browser asks for one.
 *
 *   t("inbox.waiting", { count: 3 })            "3 waiting": an entry may have plural forms, chosen by `count`
 *
 * To add a text: a key in `lang/en.json` under its view's prefix, and the same key in every other language (a test compares).
 */

import { DaemonSentences } from "./daemon-sentences.js";

const LANGUAGES = ["en", "de"];
let locale = "en";
let plural = new Intl.PluralRules(locale);
let catalogue = {};
let english = {};
let sentences = null; // none is needed in English

/** Fetches the catalogue of the first language that the browser prefers and that there is. */
export async function loadTexts(wanted = navigator.languages) {
  const found = wanted.map((one) => one.toLowerCase().split("-")[0]).find((one) => LANGUAGES.includes(one)) ?? "en";
  [english, catalogue] = await Promise.all([fetchTexts("en"), found === "en" ? {} : fetchTexts(found)]);
  const exact = wanted.find((one) => one.toLowerCase().split("-")[0] === found) ?? found;
  locale = exact;
  sentences = found === "en" ? null : new DaemonSentences(english, (key, named) => t(key, Object.fromEntries(Object.entries(named).map(([one, value]) => [one, decimal(value)]))));
  plural = new Intl.PluralRules(locale);
  document.documentElement.lang = found;
}

async function fetchTexts(language) {
  const response = await fetch(`/lang/${language}.json`);
  return response.ok ? response.json() : {};
}

function entry(key, named) {
  const found = catalogue[key] ?? english[key];
  if (found === undefined || typeof found === "string") return found;
  return found[plural.select(Number(named.count ?? 0))] ?? found.other;
}

/** Is there a text of that key? */
export function has(key) {
  return key in english || key in catalogue;
}

/** The text of a key; the key itself where there is none, so that a gap is seen. */
export function t(key, named = {}) {
  return (entry(key, named) ?? key).replace(/\{(\w+)\}/g, (whole, one) => (one in named ? shown(named[one]) : whole));
}

function shown(value) {
  return typeof value === "number" ? number(value) : value;
}

/** What cutoutd says in English, such as why a picture could not be cut, in the page's language. */
export function said(text) {
  return (sentences ? sentences.in(text) : text) ?? "";
}

/** What went wrong, in words: the catalogue's `error.CODE`, else what the backend says. */
export function errorText(error) {
  const { why } = error?.named ?? {};
  const named = typeof why === "string" ? { ...error.named, why: said(why) } : error?.named;
  if (error?.code && has(`error.${error.code}`)) return t(`error.${error.code}`, named);
  return said(error?.text || error?.message) || t("error.unknown");
}

/** A text by a key with a code in it, or what came with the code: `coded("why", folder.why, folder.note)`. */
export function coded(prefix, code, otherwise = "", named = {}) {
  return has(`${prefix}.${code}`) ? t(`${prefix}.${code}`, named) : otherwise || String(code ?? "");
}

/* One of each kind is kept: making one takes longer than using it. */
const formats = new Map();

function format(options, kind = Intl.NumberFormat) {
  const key = `${locale} ${kind.name} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new kind(locale, options));
  return formats.get(key);
}

export function number(value, digits = 0) {
  return format({ maximumFractionDigits: digits }).format(value);
}

/* A decimal number of a sentence in English, as the page's language writes it. */
function decimal(text) {
  if (/^\d{1,3}(,\d{3})+$/.test(text)) return number(Number(text.replaceAll(",", "")));
  const [, digits] = /^-?\d+\.(\d+)$/.exec(text) ?? [];
  return digits ? format({ minimumFractionDigits: digits.length, maximumFractionDigits: digits.length }).format(Number(text)) : text;
}

export function percent(value) {
  return format({ style: "percent" }).format(value);
}

/** Bytes in units of 1000, as file managers show them. */
export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = value < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** step;
  const form = { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long" };
  return format({ ...form, maximumFractionDigits: scaled < 10 && step ? 1 : 0 }).format(scaled);
}

/** A stretch of time in its largest unit: "4 minutes". */
export function duration(seconds) {
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, one]) => seconds >= one) ?? ["second", 1];
  const form = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "second" && seconds < 10 ? 1 : 0 };
  return format(form).format(seconds / size);
}

/** How long ago, or when it is long ago: a moment (ISO text, milliseconds or Date). */
export function ago(moment, now = Date.now()) {
  const seconds = (new Date(moment).getTime() - now) / 1000;
  const form = format({ numeric: "auto" }, Intl.RelativeTimeFormat);
  if (seconds > -10) return t("time.now");
  if (seconds > -60) return form.format(Math.round(seconds), "second");
  if (seconds > -3600) return form.format(Math.round(seconds / 60), "minute");
  if (seconds > -86400) return form.format(Math.round(seconds / 3600), "hour");
  return date(moment);
}

export function date(moment) {
  return new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(new Date(moment));
}

export function dateTime(moment) {
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(moment));
}
