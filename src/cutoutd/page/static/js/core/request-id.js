/** The name of a change: what is sent again under the same name is carried out once, and gets the first answer. */

export function newRequest() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}
