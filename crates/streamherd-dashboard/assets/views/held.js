// What is pending at consumers: the rows of the views of leases and of orphans.
import { requeue } from "../actions.js";
import { h } from "../dom.js";
import { count, plain, span } from "../format.js";
import { List } from "../list.js";
import { copyable, empty, foreign, meter, pager, streamName, table, tag, trouble } from "../parts.js";

const LIMIT = 50;

/** @param {"orphan"|undefined} state @param {string} what @param {(app: any) => any} nothing */
export function held(state, what, nothing) {
  let reload = () => {};
  const list = new List("leases", () => reload());
  return {
    /** @param {import("../app.js").App} app */
    enter(app) {
      reload = app.reload;
      list.clear();
    },
    /** @param {import("../app.js").App} app @param {AbortSignal} signal */
    load(app, signal) {
      const consumer = app.route.query.get("consumer");
      return list.load((after) => app.get("leases", { state, consumer, after, limit: LIMIT }, signal));
    },
    /** @param {import("../app.js").App} app */
    rows(app) {
      return [
        trouble(list),
        list.rows === null ? null : list.rows.length === 0
          ? list.pages.next ? empty("None among those looked at so far", h("p", null, "“Next” looks further.")) : nothing(app)
          : h("div", { key: "rows" }, table({ caption: what, rows: list.rows, key: (one) => `${one.partition} ${one.id}`, columns: columns(app, state) })),
        pager(list.pages, what),
      ];
    },
  };
}

function columns(app, state) {
  return [
    { name: "Stream", lead: true, cell: (one) => streamName(one.stream) },
    { name: "State", class: "nowrap", cell: (one) => (one.state === "leased"
      ? [tag("ok", "leased"), h("span", { class: "sub" }, `lock lives ${span(one.remaining_ms)}`)]
      : [tag("warning", "orphan"), h("span", { class: "sub" }, "no lock")]) },
    { name: state === "orphan" ? "Last owner" : "Owner", class: "owner", cell: (one) => copyable(one.consumer, app.copy) },
    { name: "Progress", class: "progress", cell: (one) => (one.progress ? progress(one.progress) : null) },
    { name: "Held for", class: "nowrap", cell: (one) => [span(one.pending_ms), h("span", { class: "sub" }, `age ${span(one.age_ms)}`)] },
    { name: "Attempt", cell: (one) => [count(one.attempt + 1), attempts(one)] },
    { name: "Entry", class: "entry", cell: (one) => [copyable(one.id, app.copy), h("span", { class: "sub" }, place(one)), one.token === null ? null : h("span", { class: "sub" }, `token ${one.token}`)] },
    ...(app.mayAct ? [{ name: "", label: "Actions", cell: (one) => h("button", {
      type: "button", class: "small", "aria-label": `${one.state === "leased" ? "Take away" : "Queue now"}: ${one.stream === null ? one.id : one.stream.slice(0, 80)}`,
      onclick: () => requeue(one, one.state === "leased" ? "held" : "orphan", app.reload),
    }, one.state === "leased" ? "Take away" : "Queue now") }] : []),
  ];
}

function progress({ value, text, age_ms: ageMs }) {
  const words = [value === null ? "" : `${Math.round(value * 100)} %`, text ?? ""].filter(Boolean).join(" · ");
  const told = h("span", { class: "sub" }, `told ${span(ageMs)} ago`);
  return [value === null ? h("span", { class: "meter-words clamp", title: plain(text ?? "") }, foreign(text ?? "")) : meter(value, words, "Progress"), told];
}

/** @param {any} one @returns {import("../dom.js").Kid} */
export function attempts(one) {
  const some = [one.failures ? `${count(one.failures)} failed` : "", one.abandonments ? `${count(one.abandonments)} abandoned` : ""].filter(Boolean);
  return some.length ? some.map((words) => h("span", { class: "sub nowrap" }, words)) : null;
}

/** @param {any} one @returns {string} */
export function place(one) {
  return `partition ${one.partition}`;
}
