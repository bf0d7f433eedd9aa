/**
 * What cutoutd itself says, in the page's language. Its sentences are English, also those that the journal has had for years; the English
 * catalogue has them as `said.*`, with names in braces where values stand. A sentence that fits one of them is shown by the
 * other catalogue's text of that key, with the same values; one that fits none stays as it is. Pure: touches no document.
 */

const PREFIX = "said.";
const WITH_SENTENCES = new Set(["why", "said", "rest", "right", "seems"]); // values that are sentences themselves, or words of cutoutd
const MOST_KEPT = 1000;

/* What a sentence may be about, before it: the path of a file, or one of several results, as `JPEG "_web" in amazon/`. */
const ABOUT = /^(\/.*?|(?:AVIF|JPEG|PNG|TIFF|WebP)(?: "[^"]*")?(?: in [^:]*\/)?): (.+)$/s;

export class DaemonSentences {
  #patterns;
  #kept = new Map();

  /** `english`: the English catalogue. `translate(key, named)`: the text in the page's language. */
  constructor(english, translate) {
    this.translate = translate;
    const known = Object.entries(english).filter(([key]) => key.startsWith(PREFIX));
    this.#patterns = known.map(([key, text]) => patternOf(key, text)).sort((one, other) => other.fixed - one.fixed);
  }

  /** The sentence, or several of them, in the page's language. */
  in(text) {
    if (!text) return "";
    if (!this.#kept.has(text)) {
      if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
      this.#kept.set(text, this.#find(text) ?? text);
    }
    return this.#kept.get(text);
  }

  #find(text) {
    return this.#sentence(text) ?? this.#about(text) ?? this.#list(text) ?? this.#several(text);
  }

  #sentence(text) {
    const found = this.#whole(text);
    if (found !== null || !text.endsWith(".")) return found;
    const open = this.#whole(text.slice(0, -1));
    return open === null ? null : `${open}.`;
  }

  #whole(text) {
    for (const { key, names, pattern } of this.#patterns) {
      const match = pattern.exec(text);
      if (match) return this.translate(key, Object.fromEntries(names.map((name, i) => [name, WITH_SENTENCES.has(name) ? this.in(match[i + 1]) : match[i + 1]])));
    }
    return null;
  }

  #about(text) {
    const [, what, rest] = ABOUT.exec(text) ?? [];
    const found = rest ? this.#find(rest) : null;
    return found === null ? null : `${what}: ${found}`;
  }

  // Reasons for a doubt.
  #list(text) {
    const found = text.split("; ").map((one) => this.#whole(one));
    return found.includes(null) ? null : found.join("; ");
  }

  // What happened, and what to do.
  #several(text) {
    for (const { index, 0: space } of text.matchAll(/(?<=[.!?])\s+/g)) {
      const first = this.#sentence(text.slice(0, index));
      const rest = first === null ? null : this.#find(text.slice(index + space.length));
      if (rest !== null) return `${first} ${rest}`;
    }
    return null;
  }
}

function patternOf(key, text) {
  const parts = text.split(/\{(\w+)\}/);
  const names = parts.filter((_, i) => i % 2 === 1);
  const fixed = parts.filter((_, i) => i % 2 === 0);
  const source = parts.map((one, i) => (i % 2 === 0 ? one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") : one === "rest" ? "(.*?)" : "(.+?)")).join("");
  return { key, names, fixed: fixed.join("").length, pattern: new RegExp(`^${source}$`, "s") };
}
