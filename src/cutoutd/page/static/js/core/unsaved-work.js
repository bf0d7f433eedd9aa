/**
 * What a person would lose if this tab were loaded anew. Whoever has such work says so; nobody needs to know whose it is.
 *
 *   keepUnsaved(() => form.isChanged, { signal })             the browser asks before it closes the tab
 *   keepUnsaved(() => canUndo, { signal, asks: false })       only this page itself does not reload
 */

const holders = new Map();

export function keepUnsaved(isUnsaved, { signal, asks = true } = {}) {
  holders.set(isUnsaved, asks);
  signal?.addEventListener("abort", () => holders.delete(isUnsaved));
}

/** Whether anything would be lost, including what is being typed or asked just now. */
export function hasUnsaved() {
  const types = document.activeElement?.matches("input:not([type=checkbox], [type=radio], [type=range], [type=search]), textarea");
  return Boolean(types) || document.querySelector("dialog[open]") !== null || [...holders.keys()].some((isUnsaved) => isUnsaved());
}

window.addEventListener("beforeunload", (event) => {
  if ([...holders].some(([isUnsaved, asks]) => asks && isUnsaved())) event.preventDefault();
});
