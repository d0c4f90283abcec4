// One look: is it fine, what is stuck, who holds it.
import { pause } from "../actions.js";
import { chart, spark } from "../chart.js";
import { h } from "../dom.js";
import { count, plural, rate, span } from "../format.js";
import { empty, foreign, mark, meter } from "../parts.js";
import { oldest } from "../status.js";
import { masters } from "./partitions.js";

export const title = "Overview";
/** The history has a point each five seconds. */
export const every = 4500;

/** @type {any} */
let history = null;

/** @param {import("../app.js").App} app @param {AbortSignal} signal */
export async function load(app, signal) {
  try {
    history = await app.get("history", {}, signal);
  } catch {
    // What is there stays; the banner says why nothing is added.
  }
}

/** @param {import("../app.js").App} app */
export function render(app) {
  const ov = app.overview;
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title), pauseButton(app)),
    verdict(app),
    ov.used ? null : start(ov),
    tiles(ov),
    pauses(app),
    charts(app),
    h("section", { class: "card", key: "masters", "aria-labelledby": "masters-title" },
      h("h2", { id: "masters-title" }, ov.masters.length > 1 ? "Redis servers" : "Redis"), masters(ov)),
  ];
}

/** @param {import("../app.js").App} app */
function verdict(app) {
  const { verdict: word, headline, more, findings } = app.verdict;
  const rest = findings.filter((one) => one.text !== headline);
  return h("section", { class: `verdict ${word}`, key: "verdict", "aria-label": "Verdict" },
    h("span", { class: "verdict-mark", "aria-hidden": "true" }, mark(word)),
    h("p", { class: "verdict-words", id: "verdict" }, foreign(headline)),
    more ? h("small", null, more) : null,
    rest.length ? h("ul", null, rest.slice(0, 6).map((one) => h("li", { key: one.kind },
      h("span", { "aria-hidden": "true" }, mark(one.verdict)), one.href ? h("a", { href: one.href }, foreign(one.text)) : foreign(one.text))),
    rest.length > 6 ? h("li", null, h("span", { class: "wide" }, `and ${rest.length - 6} more`)) : null) : null);
}

/** What to do with a service that nobody has used. */
function start(ov) {
  return h("div", { key: "start" }, empty("Nothing here yet",
    h("p", null, "Is the name right? If it is, start a worker and submit a stream:"),
    h("pre", { tabindex: 0, "aria-label": "Commands" }, `streamherd --service ${ov.service} worker --exec ./handle.sh\nstreamherd --service ${ov.service} submit session-1`)));
}

function tiles(ov) {
  const { queue, consumers, rates } = ov;
  const series = history?.series;
  const line = (values, style) => (series && values ? spark(values, style, history.step_ms) : null);
  const sum = (a, b) => a?.map((n, at) => (n === null ? null : n + (b[at] ?? 0)));
  const age = oldest(ov);
  const late = age !== null && age > 60_000;
  return h("div", { class: "tiles", key: "tiles" },
    tile("Waiting", queue.queued + queue.requeued, age === null ? "nothing waits" : `oldest ${span(age)}${queue.requeued ? `, ${count(queue.requeued)} re-queued` : ""}`,
      "#/consumers", line(sum(series?.queued, series?.requeued), 1), late),
    tile("In work", queue.pending, [consumers.capacity
      ? h("div", { class: "meter" }, meter(consumers.held / consumers.capacity, "", "Slots taken"), `${count(consumers.free)} of ${plural(consumers.capacity, "slot")} free`)
      : "no consumer runs", consumers.orphans ? h("div", { class: "tile-more warn" }, plural(consumers.orphans, "orphan")) : null], "#/leases", line(series?.pending, 2)),
    tile("Done", rates.done === null ? null : [rate(rates.done), h("small", null, "/s")], rates.queued === null ? "" : `${rate(rates.queued)}/s queued`,
      null, line(series?.rate_done, 2)),
    tile("Delayed", queue.delayed, queue.delayed_next_ms === null ? "none" : queue.delayed_next_ms === 0 ? "next is due" : `next in ${span(queue.delayed_next_ms)}`,
      "#/delayed", line(series?.delayed, 5)),
    tile("Dead letters", queue.dead_letters, rates.dead_lettered > 0 ? `${rate(rates.dead_lettered)}/s at the moment` : queue.dead_letters ? "look, then redrive or purge" : "none",
      "#/dead-letters", line(series?.dead_letters, 4), rates.dead_lettered > 0));
}

function tile(name, number, more, href, line, warn = false) {
  return h(href ? "a" : "div", { class: "card tile", href, key: name, "data-tile": name },
    h("span", { class: "tile-name" }, name),
    h("span", { class: "tile-number" }, typeof number === "number" ? count(number) : number ?? "–"),
    h(typeof more === "string" ? "span" : "div", { class: warn ? "tile-more warn" : "tile-more" }, more),
    line);
}

function charts(app) {
  if (!history) return null;
  const { series, step_ms: stepMs, end_at_ms: endAtMs } = history;
  const of = (id, title, unit, lines) => chart({ id, title, unit, stepMs, endAtMs, series: lines }, app.render);
  return h("div", { class: "pair", key: "charts" },
    of("rates", "Streams per second", "rate", [
      { name: "queued", values: series.rate_queued, style: 1 },
      { name: "done", values: series.rate_done, style: 2 },
      { name: "retried", values: series.rate_retried, style: 3 },
      { name: "dead letters", values: series.rate_dead_lettered, style: 4 },
      { name: "lost", values: series.rate_lost, style: 5 },
    ]),
    of("depth", "Streams", "count", [
      { name: "queued", values: series.queued, style: 1, area: true },
      { name: "in work", values: series.pending, style: 2 },
      { name: "re-queued", values: series.requeued, style: 3 },
      { name: "delayed", values: series.delayed, style: 5 },
    ]),
    of("oldest", "The oldest waits", "span", [{ name: "for", values: series.oldest_ms, style: 3, area: true }]),
    of("slots", "Slots", "count", [
      { name: "held", values: series.held, style: 2, area: true },
      { name: "of all", values: series.capacity, style: 1 },
      { name: "consumers", values: series.consumers, style: 5 },
    ]));
}

function pauseButton(app) {
  if (!app.mayAct) return null;
  const paused = app.overview.paused_ms !== null;
  return h("button", { type: "button", key: "pause", onclick: () => pause(!paused, null, app.reload) }, paused ? "Resume the service" : "Pause the service");
}

/** Pauses of consumers that run and of those that don't. */
function pauses(app) {
  const all = app.overview.pauses;
  if (all.length === 0) return null;
  return h("section", { class: "card", key: "pauses", "aria-labelledby": "pauses-title" },
    h("h2", { id: "pauses-title" }, "Paused consumers"),
    h("div", { class: "row" }, all.slice(0, 50).map((one) => h("span", { key: one.consumer, class: "row" },
      h("span", null, foreign(one.consumer), h("span", { class: "none" }, one.paused_ms ? ` for ${span(one.paused_ms)}` : "")),
      app.mayAct ? h("button", { type: "button", class: "small", onclick: () => pause(false, one.consumer, app.reload) }, "Resume") : null))));
}
