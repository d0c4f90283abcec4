// One dead letter with all that it carries.
import { letterId, purge, redrive } from "../actions.js";
import { h } from "../dom.js";
import { bytes, clock, count, plain, span } from "../format.js";
import { copyable, empty, foreign, streamName, table } from "../parts.js";
import { REASONS } from "./reasons.js";

let shown = { id: "", letter: /** @type {any} */ (null), error: /** @type {any} */ (null) };

/** @param {import("../app.js").App} app @param {AbortSignal} signal */
export async function load(app, signal) {
  const id = app.route.rest;
  // It never changes: what is left to find out is whether it is still there.
  if (shown.id !== id) shown = { id, letter: null, error: null };
  try {
    shown = { id, letter: await app.get(`dead-letters/${encodeURIComponent(id)}`, {}, signal), error: null };
  } catch (e) {
    if (e.name !== "AbortError") shown = { ...shown, error: e };
  }
}

/** @param {import("../app.js").App} app */
export function render(app) {
  const { letter, error, id } = shown.id === app.route.rest ? shown : { letter: null, error: null, id: app.route.rest };
  const gone = error?.status === 404;
  return [
    h("p", { key: "back" }, h("a", { href: "#/dead-letters" }, "← All dead letters")),
    h("div", { class: "head", key: "head" }, h("h1", null, "Dead letter"), letter && app.mayAct && !gone ? actions(app, letter) : null),
    error && !gone ? h("p", { class: "banner failure", role: "alert" }, foreign(error.message)) : null,
    gone ? empty("It is no dead letter any more", h("p", null, plain(id), " was redriven, purged or trimmed.")) : null,
    letter && !gone ? [facts(app, letter), text(letter), fields(letter)] : null,
  ];
}

function actions(app, letter) {
  const which = { ids: [letterId(letter)] };
  return h("span", { class: "row", key: "actions" },
    h("button", { type: "button", id: "redrive", disabled: letter.packed, title: letter.packed ? "It is too large to be worked on" : null, onclick: () => redrive(which, 1, app.reload) }, "Redrive"),
    h("button", { type: "button", id: "purge", class: "grave", onclick: () => purge(which, 1, app.reload) }, "Purge"));
}

function facts(app, letter) {
  const now = app.overview.at_ms + app.sinceMs;
  const when = (ms) => `${clock(ms)} (${span(Math.max(0, now - ms))} ago)`;
  const rows = {
    Stream: streamName(letter.stream),
    Reason: letter.reason ? h("span", null, h("strong", null, letter.reason), ` – ${REASONS[letter.reason] ?? ""}`) : "written by another program",
    Died: when(letter.at_ms),
    "First seen": when(letter.first_seen_ms),
    "Last consumer": letter.consumer === null ? "–" : copyable(letter.consumer, app.copy),
    Attempts: `${count(letter.failures)} failed, ${count(letter.abandonments)} abandoned${letter.redriven ? `, redriven ${letter.redriven} times before` : ""}`,
    "Letter id": copyable(`${letter.partition}/${letter.id}`, app.copy),
    "Submitted as": copyable(letter.origin, app.copy),
    Size: bytes(letter.bytes),
  };
  return h("section", { class: "card", key: "facts" },
    h("dl", { class: "facts" }, Object.entries(rows).map(([name, value]) => [h("dt", null, name), h("dd", null, value)])));
}

function text(letter) {
  return h("section", { class: "card", key: "error", "aria-labelledby": "error-title" },
    h("h2", { id: "error-title" }, "Error"),
    letter.error ? h("pre", { id: "error-text", tabindex: 0, "aria-labelledby": "error-title" }, foreign(letter.error, true)) : h("p", { class: "note" }, "None was given."));
}

function fields(letter) {
  const rows = letter.fields.map(([name, value], at) => ({ at, name, value }));
  return h("section", { class: "card", key: "fields", "aria-labelledby": "fields-title" },
    h("h2", { id: "fields-title" }, "Fields"),
    table({ caption: "Fields", rows, key: (one) => String(one.at), columns: [
      { name: "Field", lead: true, cell: (one) => h("span", { class: "mono name" }, bytesOrText(one.name)) },
      { name: "Value", cell: (one) => h("pre", { tabindex: 0, "aria-label": `Value of ${typeof one.name === "string" ? plain(one.name) : one.name.hex}` }, bytesOrText(one.value)) },
    ] }));
}

/** @param {string|{hex: string}} value what is no text comes in hex */
function bytesOrText(value) {
  if (typeof value !== "string") return h("span", null, h("span", { class: "mark" }, "hex"), ` ${value.hex}`);
  return foreign(pretty(value), true);
}

/** JSON is read more easily in lines; but numbers must not be rounded on the way. */
function pretty(value) {
  if (!/^\s*[[{]/.test(value) || value.length > 100_000) return value;
  try {
    const parsed = JSON.parse(value);
    return JSON.stringify(parsed) === value.replace(/\s*([{}[\]:,])\s*/g, "$1") ? JSON.stringify(parsed, null, 2) : value;
  } catch {
    return value;
  }
}
