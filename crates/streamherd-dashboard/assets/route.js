// The part of the address behind the #: which view, what of it, and how it is filtered.

/** @typedef {{view: string, rest: string, query: URLSearchParams, text: string}} Route */

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const text = hash.replace(/^#\/?/, "");
  const [path, query] = [text.split("?", 1)[0], text.includes("?") ? text.slice(text.indexOf("?") + 1) : ""];
  const [view, ...rest] = path.split("/");
  return { view: view || "overview", rest: rest.join("/"), query: new URLSearchParams(query), text };
}

/** @param {string} path @param {Record<string, any>} [query] what is empty is left out @returns {string} */
export function link(path, query = {}) {
  const wanted = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") wanted.set(name, String(value));
  }
  const text = wanted.toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}
