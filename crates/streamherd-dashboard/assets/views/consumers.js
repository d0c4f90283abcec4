// Who works, how much each holds, and when it was last heard of.
import { pause } from "../actions.js";
import { h } from "../dom.js";
import { ago, count, plural, rate, span } from "../format.js";
import { List } from "../list.js";
import { copyable, empty, foreign, meter, plainName, table, tag, trouble } from "../parts.js";
import { link } from "../route.js";

export const title = "Consumers";

const list = new List("consumers", () => {});

/** @param {import("../app.js").App} app @param {AbortSignal} signal */
export function load(app, signal) {
  return list.load(() => app.get("consumers", {}, signal));
}

const WORST_FIRST = { silent: 0, unregistered: 1, alive: 2 };
const STATES = { alive: ["ok", "alive"], silent: ["warning", "silent"], unregistered: ["info", "not registered"] };

/** @param {import("../app.js").App} app */
export function render(app) {
  const rows = [...(list.rows ?? [])].sort((a, b) => WORST_FIRST[a.state] - WORST_FIRST[b.state] || a.consumer.localeCompare(b.consumer));
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      h("p", { class: "note" }, "A consumer is silent when its last heartbeat is older than its locks live; others get what it held.")),
    trouble(list),
    list.rows === null ? null : rows.length === 0
      ? empty("No consumer", h("p", null, "Nobody takes part in this service. Start a worker:"),
        h("pre", { tabindex: 0, "aria-label": "Command" }, `streamherd --service ${app.overview.service} worker --exec ./handle.sh`))
      : h("div", { key: "rows" }, table({ caption: "Consumers", rows, key: (one) => one.consumer, columns: columns(app) })),
  ];
}

function columns(app) {
  return [
    { name: "Consumer", lead: true, cell: (one) => [copyable(one.consumer, app.copy), one.host === undefined ? null : h("span", { class: "sub" }, foreign(one.host), ` · pid ${one.pid} · ${plainName(one.version)}`)] },
    { name: "State", cell: (one) => h("span", { class: "row" }, tag(...(STATES[one.state] ?? ["unknown", one.state])), one.paused ? tag("info", "paused") : null) },
    { name: "Held", cell: (one) => (one.capacity === undefined ? h("a", { href: leases(one) }, plural(one.pending, "stream"))
      : h("a", { href: leases(one), "aria-label": `${one.held} of ${one.capacity} held: show the leases` }, meter(one.capacity ? one.held / one.capacity : 0, `${count(one.held)} of ${count(one.capacity)}`, "Held"))) },
    { name: "Heartbeat", class: "nowrap", cell: (one) => (one.seen_ms === undefined ? null : [ago(one.seen_ms), h("span", { class: "sub" }, `locks live ${span(one.lock_ttl_ms)}`)]) },
    { name: "Last read", class: "nowrap", cell: (one) => (one.idle_ms === null || one.idle_ms === undefined ? "never" : ago(one.idle_ms)) },
    { name: "Done", class: "number nowrap", cell: (one) => (one.totals ? [count(one.totals.done), h("span", { class: "sub" }, one.rates ? `${rate(one.rates.done)}/s` : "")] : null) },
    { name: "Not done", class: "nowrap", cell: (one) => (one.totals ? unfinished(one.totals) : null) },
    { name: "Runs for", class: "nowrap", cell: (one) => (one.started_ms === undefined ? null : span(Math.max(0, app.overview.at_ms - one.started_ms))) },
    ...(app.mayAct ? [{ name: "", label: "Actions", cell: (one) => steer(app, one) }] : []),
  ];
}

/** By its name, so that a restart changes nothing; a pause of the service is no matter of one consumer. */
function steer(app, one) {
  const dot = one.consumer.lastIndexOf(".");
  const name = dot > 0 ? one.consumer.slice(0, dot) : one.consumer;
  const own = app.overview.pauses.find((pause) => pause.consumer === one.consumer || pause.consumer === name);
  if (one.paused && !own) return null;
  const words = own ? "Resume" : "Pause";
  return h("button", { type: "button", class: "small", "aria-label": `${words} ${plainName(name)}`, onclick: () => pause(!own, own?.consumer ?? name, app.reload) }, words);
}

/** Those that there were. */
function unfinished(totals) {
  const kinds = { retried: "retried", dead_lettered: "dead-lettered", released: "released", lost: "lost" };
  const some = Object.entries(kinds).filter(([name]) => totals[name] > 0);
  return some.length ? some.map(([name, word]) => h("span", { class: "sub" }, `${count(totals[name])} ${word}`)) : h("span", { class: "none" }, "–");
}

function leases(one) {
  return link("leases", { consumer: one.consumer });
}
