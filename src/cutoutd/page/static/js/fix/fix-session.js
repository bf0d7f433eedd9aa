/**
 * A correction as the backend has it: started on a picture, previewed for strokes, saved. One preview is asked for at a time, and the
 * newest strokes win. A session that the backend has ended is started again by itself, and the strokes are sent anew.
 *
 * `api` is `{write, writeForBlob}`; errors have `status` and `code`.
 */

const AGAIN = 3; // starts, before an error is shown

export class FixSession extends EventTarget {
  // Events: "preview" with {blob, changed, strokes, suggestion}, "trouble" with an error, "busy".
  constructor(api, job) {
    super();
    this.api = api;
    this.job = job;
    this.fix = null;
    this.busy = false;
    this.wanted = null;
    this.starts = 0;
  }

  /** Starts; the answer has the picture's size, its version and the strokes of an earlier correction. */
  async start(signal) {
    const answer = await this.api.write("fix_start", { job: this.job }, { signal });
    this.fix = answer.fix;
    this.version ??= answer.version;
    if (this.version !== answer.version) {
      this.version = answer.version;
      throw Object.assign(new Error("source_changed"), { status: 409, code: "source_changed" });
    }
    return answer;
  }

  /** Asks for the matte of these strokes. */
  preview(strokes, suggestion) {
    this.wanted = { strokes, suggestion };
    this.starts = 0;
    return this.#work();
  }

  /** Asks again for what had no answer. */
  retry() {
    return this.#work();
  }

  /** Whether the newest strokes have no answer yet. */
  get behind() {
    return this.busy || this.wanted !== null;
  }

  /** Saves; what is sent again under the same name is saved once. */
  async save(strokes, suggestion, seen, request) {
    return this.#withSession(() => this.api.write("fix_save", { fix: this.fix, strokes, suggestion, seen }, { request }));
  }

  /** Ends; the tab may be about to close. */
  end() {
    if (this.fix === null) return;
    this.api.write("fix_end", { fix: this.fix }, { keepalive: true }).catch(() => {});
    this.fix = null;
  }

  async #work() {
    if (this.busy || !this.wanted) return;
    this.#setBusy(true);
    while (this.wanted) {
      const asked = this.wanted;
      try {
        const { blob, headers } = await this.#withSession(() => this.api.writeForBlob("fix_preview", { fix: this.fix, ...asked }));
        if (this.wanted === asked) this.wanted = null;
        this.dispatchEvent(new CustomEvent("preview", { detail: { blob, changed: headers.get("X-Changed") !== "0", ...asked } }));
      } catch (error) {
        this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
        break; // the strokes stay wanted: retry() sends them
      }
    }
    this.#setBusy(false);
  }

  async #withSession(ask) {
    for (;;) {
      try {
        if (this.fix === null) await this.start();
        return await ask();
      } catch (error) {
        const ended = error.status === 404 || error.status === 410;
        if (!ended || error.code === "no_job" || this.starts++ >= AGAIN) throw error;
        this.fix = null;
      }
    }
  }

  #setBusy(busy) {
    this.busy = busy;
    this.dispatchEvent(new Event("busy"));
  }
}
