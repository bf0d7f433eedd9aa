/**
 * Changes that may be sent again. cutoutd carries out once what it is asked for under a request id, and answers as the first time whoever
 * asks again under it. So a change whose answer was lost keeps its id, and another intention has a new one. Sends nothing by itself.
 */

/* Answers that are given before anybody looks at the id: what was sent under it before may have arrived all the same. */
const BEFORE_THE_ID = new Set([401, 403, 408, 413, 421, 429]);

export function newRequestId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}

/** One change, under one id for as long as it has no answer. */
export class IdempotentRequest {
  // `mayHaveArrived`: it was sent, and what became of it is not known.
  constructor({ id = newRequestId(), mayHaveArrived = false } = {}) {
    Object.assign(this, { id, mayHaveArrived, isSending: false });
  }

  /** Whether it was sent, is not under way, and may have been carried out. */
  get isUnanswered() {
    return this.mayHaveArrived && !this.isSending;
  }

  /** Sends it by `write(id)`; the answer, or the error that tells why there is none. */
  async send(write) {
    const before = this.mayHaveArrived;
    this.isSending = this.mayHaveArrived = true;
    try {
      const answer = await write(this.id);
      this.mayHaveArrived = false;
      return answer;
    } catch (error) {
      if (BEFORE_THE_ID.has(error.status)) this.mayHaveArrived = before;
      else if (error.status >= 400 && error.status < 500) this.mayHaveArrived = false; // refused: nothing was done
      throw error;
    } finally {
      this.isSending = false;
    }
  }
}

/** The latest change of each subject, until it has an answer: such as the saving of one picture's strokes. */
export class IdempotentRequests {
  #open = new Map(); // subjects to {intent, request}

  /** `stored`: where ids are kept over a reload; by default they are not. */
  constructor(stored = null) {
    this.stored = stored;
    for (const [subject, intent, id] of stored?.load() ?? []) this.#open.set(subject, { intent, request: new IdempotentRequest({ id }) });
  }

  /** Sends by `write(id)` what is meant for a subject. It is the same change as before if that had no answer, and `intent` is equal. */
  async send(subject, intent, write) {
    const text = JSON.stringify(intent);
    const before = this.#open.get(subject);
    const open = before?.intent === text ? before : { intent: text, request: new IdempotentRequest() };
    this.#open.set(subject, open);
    this.#keep();
    try {
      return await open.request.send(write);
    } finally {
      if (!open.request.mayHaveArrived && this.#open.get(subject) === open) this.forget(subject);
    }
  }

  /** Whether the subject's change had no answer, and may have been carried out. */
  isUnanswered(subject) {
    return this.#open.get(subject)?.request.isUnanswered ?? false;
  }

  /** What was meant by the subject's change that had no answer; null if there is none. */
  unanswered(subject) {
    return this.isUnanswered(subject) ? JSON.parse(this.#open.get(subject).intent) : null;
  }

  /** What is meant now is something else, even if it is asked for in the same words. */
  forget(subject) {
    if (this.#open.delete(subject)) this.#keep();
  }

  #keep() {
    this.stored?.save([...this.#open].map(([subject, { intent, request }]) => [subject, intent, request.id]));
  }
}
