/**
 * The address: `#/VIEW/ARGUMENT?QUERY`. (A fragment without the slash is a one-time code, and no view.)
 *
 *   go("/fix/17")                       to another view; the way back leads here
 *   setQuery({ state: "review" })       writes the view's own state into the address, without showing it anew
 *   href("/review", { folder: "shop" }) for a link
 */

/** The route of the address: `{ view, args, query }`. */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...args] = path.split("/").map(decodeURIComponent);
  return { view: location.hash.startsWith("#/") && view ? view : "inbox", args, query: new URLSearchParams(query) };
}

export function href(path, query = {}) {
  const text = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") text.append(key, one);
  }
  return `#${path}${text.size ? `?${text}` : ""}`;
}

export function go(path, query = {}, { replace = false } = {}) {
  const where = href(path, query);
  if (where === location.hash) return;
  if (replace) {
    history.replaceState(null, "", where);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = where;
}

export function setQuery(query) {
  const { view, args } = route();
  history.replaceState(null, "", href(`/${[view, ...args].map(encodeURIComponent).join("/")}`, query));
}
