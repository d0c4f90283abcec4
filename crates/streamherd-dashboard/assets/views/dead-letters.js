// What is not handed out any more: found, looked at, queued again or deleted.
import { letterId, purge, redrive, redriveAll } from "../actions.js";
import { h } from "../dom.js";
import { plain, plural, span } from "../format.js";
import { List } from "../list.js";
import { empty, foreign, pager, streamName, table, trouble } from "../parts.js";
import { link } from "../route.js";
import { attempts } from "./held.js";
import * as letter from "./letter.js";
import { REASONS } from "./reasons.js";

export const title = "Dead letters";
/** Whole letters are read for it. */
export const every = 10_000;

/** @param {any} ov */
export const watch = (ov) => ov.queue.dead_letters;

let reload = () => {};
const list = new List("dead_letters", () => {
  chosen.clear();
  reload();
});
/** Ids of those that are ticked. @type {Set<string>} */
const chosen = new Set();

/** @param {import("../app.js").App} app */
export function enter(app) {
  reload = app.reload;
  if (app.route.rest) return;
  chosen.clear();
  list.clear();
}

/** @param {import("../app.js").App} app @param {AbortSignal} signal */
export function load(app, signal) {
  if (app.route.rest) return letter.load(app, signal);
  const { reason, older_than_s, stream } = filter(app);
  return list.load((after) => app.get("dead-letters", { reason, older_than_s, stream, after, limit: 50 }, signal)).then(() => {
    const there = new Set((list.rows ?? []).map(letterId));
    for (const id of [...chosen]) if (!there.has(id)) chosen.delete(id);
  });
}

/** What the address asks for. */
function filter(app) {
  const { query } = app.route;
  const age = Math.trunc(Number(query.get("older_than_s")));
  return { reason: query.get("reason") || undefined, older_than_s: age > 0 ? age : undefined, stream: query.get("stream") || undefined };
}

/** @param {import("../app.js").App} app */
export function render(app) {
  if (app.route.rest) return letter.render(app);
  const wanted = filter(app);
  const filtered = Object.values(wanted).some((value) => value !== undefined);
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      h("p", { class: "note" }, "They stay until somebody redrives or purges them, or newer ones push them out. The oldest come first.")),
    filters(app, wanted),
    app.mayAct && list.rows?.length ? actions(app, wanted) : null,
    trouble(list),
    list.rows === null ? null : list.rows.length === 0 ? nothing(filtered)
      : h("div", { key: "rows" }, table({ caption: title, rows: list.rows, key: letterId, columns: columns(app) })),
    pager(list.pages, "dead letters"),
  ];
}

function nothing(filtered) {
  if (list.pages.next) return empty("None among those looked at so far", h("p", null, "“Next” looks further."));
  return filtered ? empty("No dead letter matches", h("p", null, h("a", { href: "#/dead-letters" }, "Show all"))) : empty("No dead letters", h("p", null, "Nothing has failed too often."));
}

function filters(app, wanted) {
  const go = (change) => {
    location.hash = link("dead-letters", { ...wanted, ...change });
  };
  const ages = { "": "any age", 60: "a minute", 600: "ten minutes", 3600: "an hour", 86400: "a day", 604800: "a week" };
  const chosenAge = wanted.older_than_s === undefined ? "" : String(wanted.older_than_s);
  if (!(chosenAge in ages)) ages[chosenAge] = span(wanted.older_than_s * 1000);
  // A stream's name is looked for when it is typed in full, not at each letter.
  return h("form", { class: "filters", key: "filters", role: "search", "aria-label": "Filter", onsubmit: (event) => {
    event.preventDefault();
    go({ stream: event.currentTarget.querySelector("#filter-stream").value });
  } },
    h("label", { class: "field" }, "Reason", h("select", { id: "filter-reason", value: wanted.reason ?? "", onchange: (event) => go({ reason: event.currentTarget.value }) },
      h("option", { value: "" }, "any reason"), Object.keys(REASONS).map((reason) => h("option", { value: reason, key: reason }, reason)))),
    h("label", { class: "field" }, "Older than", h("select", { id: "filter-age", value: chosenAge, onchange: (event) => go({ older_than_s: event.currentTarget.value }) },
      Object.entries(ages).map(([value, words]) => h("option", { value, key: value }, words)))),
    h("label", { class: "field" }, "Stream", h("input", { id: "filter-stream", type: "search", value: wanted.stream ?? "", maxlength: 1024, autocomplete: "off", spellcheck: "false" })),
    h("button", { type: "submit" }, "Find"));
}

function actions(app, wanted) {
  const n = chosen.size;
  const which = { ids: [...chosen] };
  const then = () => {
    chosen.clear();
    app.reload();
  };
  return h("div", { class: "row", key: "actions" },
    h("button", { type: "button", id: "redrive-chosen", disabled: n === 0, onclick: () => redrive(which, n, then) }, n ? `Redrive ${n}` : "Redrive"),
    h("button", { type: "button", id: "purge-chosen", class: "grave", disabled: n === 0, onclick: () => purge(which, n, then) }, n ? `Purge ${n}` : "Purge"),
    h("span", { class: "note push" }, n ? `${plural(n, "dead letter")} chosen` : "Choose some below"),
    h("button", { type: "button", id: "redrive-all", onclick: () => redriveAll(wanted, then) }, "Redrive all that match"));
}

function columns(app) {
  const all = (list.rows ?? []).map(letterId);
  const tick = (id, on) => {
    if (on) chosen.add(id);
    else chosen.delete(id);
    app.render();
  };
  const ticks = {
    name: "", label: "Choose", class: "tick-cell",
    head: h("label", { class: "tick" }, h("input", {
      type: "checkbox", "aria-label": "Choose all on this page", checked: all.length > 0 && chosen.size === all.length, indeterminate: chosen.size > 0 && chosen.size < all.length,
      onchange: (event) => {
        for (const id of all) tick(id, event.currentTarget.checked);
      },
    })),
    cell: (one) => h("label", { class: "tick" }, h("input", {
      type: "checkbox", "aria-label": `Choose ${plain(one.stream ?? one.id).slice(0, 80)}`, checked: chosen.has(letterId(one)), onchange: (event) => tick(letterId(one), event.currentTarget.checked),
    })),
  };
  return [
    ...(app.mayAct ? [ticks] : []),
    { name: "Stream", lead: true, cell: (one) => streamName(one.stream, link(`dead-letters/${letterId(one)}`)) },
    { name: "Reason", class: "nowrap", cell: (one) => [one.reason ?? "–", attempts(one)] },
    { name: "Error", class: "wide", cell: (one) => (one.error ? h("span", { class: "clamp" }, foreign(one.error.slice(0, 400))) : null) },
    { name: "Last consumer", cell: (one) => (one.consumer ? h("span", { class: "mono" }, foreign(one.consumer)) : null) },
    { name: "Died", class: "nowrap", cell: (one) => `${span(one.age_ms)} ago` },
    { name: "Redriven", class: "number", cell: (one) => (one.redriven ? one.redriven : null) },
  ];
}
