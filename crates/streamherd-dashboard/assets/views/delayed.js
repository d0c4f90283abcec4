// What waits for a retry's delay or a schedule.
import { requeue } from "../actions.js";
import { h } from "../dom.js";
import { count, span } from "../format.js";
import { List } from "../list.js";
import { copyable, empty, pager, streamName, table, tag, trouble } from "../parts.js";
import { attempts, place } from "./held.js";

export const title = "Delayed";

let reload = () => {};
const list = new List("delayed", () => reload());

/** @param {import("../app.js").App} app */
export function enter(app) {
  reload = app.reload;
  list.clear();
}

/** @param {import("../app.js").App} app @param {AbortSignal} signal */
export function load(app, signal) {
  return list.load((after) => app.get("delayed", { after, limit: 50 }, signal));
}

/** @param {import("../app.js").App} app */
export function render(app) {
  const { service } = app.overview;
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      h("p", { class: "note" }, "Streams that wait for a retry's delay or for their schedule. Workers queue them when they are due.")),
    trouble(list),
    list.rows === null ? null : list.rows.length === 0
      ? empty("Nothing is delayed", h("p", null, "To run a stream later: "), h("pre", { tabindex: 0, "aria-label": "Command" }, `streamherd --service ${service} submit session-1 --delay 10m`))
      : h("div", { key: "rows" }, table({ caption: "Delayed streams", rows: list.rows, key: (one) => `${one.partition} ${one.id}`, columns: columns(app) })),
    pager(list.pages, "delayed streams"),
  ];
}

function columns(app) {
  return [
    { name: "Stream", lead: true, cell: (one) => streamName(one.stream) },
    { name: "Due", class: "nowrap", cell: (one) => (one.due_ms > 0 ? `in ${span(one.due_ms)}` : tag("info", "due")) },
    { name: "Attempt", cell: (one) => [count(one.attempt + 1), attempts(one)] },
    { name: "Entry", cell: (one) => [copyable(one.id, app.copy), h("span", { class: "sub" }, place(one))] },
    ...(app.mayAct ? [{ name: "", label: "Actions", cell: (one) => h("button", {
      type: "button", class: "small", "aria-label": `Queue now: ${one.stream === null ? one.id : one.stream.slice(0, 80)}`, onclick: () => requeue(one, "delayed", app.reload),
    }, "Queue now") }] : []),
  ];
}
