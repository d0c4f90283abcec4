// What several views show in the same way.
import { h } from "./dom.js";
import { pieces, plain } from "./format.js";

/** @typedef {import("./dom.js").Tree} Tree @typedef {import("./dom.js").Kid} Kid */

/** A stranger's text. @param {string} text @param {boolean} [lines] @returns {Tree} */
export function foreign(text, lines = false) {
  return h("bdi", null, pieces(text, lines).map((piece) => (piece.unseen ? h("span", { class: "mark" }, piece.text) : piece.text)));
}

/** For titles and labels. @param {string} text @returns {string} */
export function plainName(text) {
  return plain(text).slice(0, 80);
}

/** A data stream's name. @param {string|null|undefined} name @param {string} [href] @returns {Tree} */
export function streamName(name, href) {
  const shown = name === null || name === undefined ? h("span", { class: "none" }, "unreadable") : foreign(name);
  const props = { class: "name", title: name ? plain(name) : null };
  const clamped = h("span", { class: "clamp" }, shown);
  return href ? h("a", { ...props, href }, clamped) : h("span", props, clamped);
}

/** An id that a click copies. @param {string} id @param {(text: string) => void} copy @returns {Tree} */
export function copyable(id, copy) {
  return h("button", { class: "copy", type: "button", title: "Copy", "aria-label": `Copy ${plain(id)}`, onclick: () => copy(id) }, foreign(id));
}

const MARKS = { ok: "✓", warning: "!", failure: "✕", info: "•", unknown: "?" };

/** @param {string} verdict @returns {string} */
export function mark(verdict) {
  return MARKS[verdict] ?? "?";
}

/** @param {string} verdict @param {string} words @returns {Tree} */
export function tag(verdict, words) {
  return h("span", { class: `tag ${verdict}` }, h("span", { "aria-hidden": "true" }, mark(verdict)), words);
}

/** A part of a whole. @param {number} value 0 to 1 @param {string} words @param {string} name @returns {Tree} */
export function meter(value, words, name) {
  const percent = Math.round(Math.min(1, Math.max(0, value)) * 100);
  const props = { role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent, "aria-valuetext": words || null };
  return h("div", { class: "meter" },
    h("div", { class: "meter-track", ...props }, h("div", { class: "meter-fill", style: { width: `${percent}%` } })),
    words ? h("span", { class: "meter-words clamp", title: plain(words) }, foreign(words)) : null);
}

/** @param {Kid} title @param {...Kid} more @returns {Tree} */
export function empty(title, ...more) {
  return h("div", { class: "card empty" }, h("strong", null, title), more);
}

/**
 * @template Row
 * @param {{caption: string, rows: Row[], key: (row: Row) => string, stay?: boolean,
 *   columns: {name: string, label?: string, lead?: boolean, class?: string, head?: Kid, cell: (row: Row) => Kid}[]}} table
 *   `stay`: remains a table on a phone; `label`: the name where the head shows none; `lead`: what the row is about
 * @returns {Tree}
 */
export function table({ caption, rows, key, columns, stay }) {
  return h("div", { class: stay ? "table stay" : "table" },
    h("table", null,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.class },
        column.head ?? (column.name || h("span", { class: "unseen" }, column.label)))))),
      h("tbody", null, rows.map((row) => h("tr", { key: key(row) }, columns.map((column) => {
        const cell = column.cell(row);
        const blank = cell === null || cell === "" || (Array.isArray(cell) && cell.every((one) => !one));
        return h("td", { class: [column.class, column.lead && "lead", blank && "blank"].filter(Boolean).join(" ") || null, "data-name": column.name }, cell);
      }))))));
}

/** Turns pages of a list that is walked by a cursor. @param {import("./pages.js").Pages} pages @param {string} what @returns {Tree|null} */
export function pager(pages, what) {
  if (!pages.turned && !pages.next) return null;
  return h("nav", { class: "row", "aria-label": `Pages of ${what}` },
    h("button", { type: "button", disabled: !pages.turned, onclick: () => pages.back() }, "Previous"),
    h("button", { type: "button", disabled: !pages.next, onclick: () => pages.forward() }, "Next"),
    h("span", { class: "note" }, `Page ${pages.turned + 1}`));
}

/** What a list could not tell. @param {{error: Error|null}} data @returns {Tree|null} */
export function trouble(data) {
  return data.error ? h("p", { class: "banner failure", role: "alert" }, foreign(data.error.message)) : null;
}
