/** What tests give to modules in place of a browser. */

/** A tab's storage; `full`: it takes nothing. */
export function memoryStorage({ full = false } = {}) {
  const kept = new Map();
  return {
    get size() {
      return kept.size;
    },
    getItem: (key) => kept.get(key) ?? null,
    removeItem: (key) => kept.delete(key),
    setItem: (key, value) => {
      if (full) throw new Error("QuotaExceededError");
      kept.set(key, value);
    },
  };
}

/** The error of a request that had no answer. */
export function noAnswer() {
  return Object.assign(new Error("nobody"), { status: 0 });
}

/** Sends something, and gets no answer. */
export async function nobody() {
  throw noAnswer();
}
