/**
 * Questions that are asked again before the answer to the last one is there. Answers may come in any order; one to an earlier question than
 * the one that was answered last is older than what is shown, and is dropped.
 *
 *   const isNews = order.ask();
 *   const found = await read("jobs", ...);
 *   if (!isNews()) return;
 */
export class AnswerOrder {
  #asked = 0;
  #answered = 0;

  /** Call it before a question is asked, and what it returns once, with the answer: whether that is news. */
  ask() {
    const turn = ++this.#asked;
    return () => {
      if (turn < this.#answered) return false;
      this.#answered = turn;
      return true;
    };
  }
}
