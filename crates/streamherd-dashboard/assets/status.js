// What the overview means, in words: what is wrong, the worst first. Pure.
import { count, plural, rate, span } from "./format.js";

/**
 * @typedef {{verdict: "failure"|"warning"|"info", kind: string, text: string, href: string|null, foreign?: boolean}} Finding
 *   `kind`: the same for as long as it is the same finding, whatever its numbers
 * @typedef {{verdict: "ok"|"warning"|"failure"|"unknown"|"info", headline: string, more: string, findings: Finding[]}} Verdict
 */

/** A stream that waits so long, with slots free for it, is a sign that something is wrong. */
const LONG_MS = 60_000;
const ORDER = { failure: 0, warning: 1, info: 2 };

/** @param {any} ov the overview @param {number} sinceMs since it was received @returns {Verdict} */
export function judge(ov, sinceMs = 0) {
  const findings = collect(ov, sinceMs).sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict]);
  const [first] = findings;
  const { queue, consumers } = ov;
  const waiting = queue.queued + queue.requeued;
  const more = [
    consumers.alive > 0 ? `${plural(consumers.alive, "consumer")} ${consumers.alive === 1 ? "holds" : "hold"} ${count(consumers.held)} of ${plural(consumers.capacity, "stream")}` : "No consumer runs",
    waiting > 0 ? `${plural(waiting, "stream")} ${waiting === 1 ? "waits" : "wait"}, the oldest for ${span(oldest(ov))}` : "nothing waits",
  ].join("; ") + ".";
  if (first && first.verdict !== "info") return { verdict: first.verdict, headline: first.text, more, findings };
  // A list of findings that could not be looked for is no good news.
  if (ov.health.verdict === "unknown") return { verdict: "unknown", headline: "The server, the login and the keys were not checked yet.", more, findings };
  if (!ov.used) return { verdict: "info", headline: `Nothing was ever submitted to “${ov.service}”, and no worker has run.`, more: "", findings };
  return { verdict: "ok", headline: "All is well.", more, findings };
}

/** @param {any} ov @returns {number|null} for how long the first of all that wait has been waiting */
export function oldest(ov) {
  const ages = [ov.queue.queued_oldest_ms, ov.queue.requeued_oldest_ms].filter((ms) => ms !== null && ms !== undefined);
  return ages.length ? Math.max(...ages) : null;
}

/** Whether what is shown is older than it should be. @param {any} ov @param {number} sinceMs @returns {boolean} */
export function isStale(ov, sinceMs) {
  return Boolean(ov.error) || ov.stale_ms + sinceMs > 4 * ov.interval_ms + 1000;
}

/** @param {string} name of a check @returns {string} */
export function titled(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @returns {Finding[]} */
function collect(ov, sinceMs) {
  const found = [];
  const say = (verdict, kind, text, href = null) => found.push({ verdict, kind, text, href });
  const { queue, consumers, rates } = ov;
  const waiting = queue.queued + queue.requeued;
  const age = oldest(ov);

  if (isStale(ov, sinceMs)) {
    say("failure", "away", `Redis does not answer; what you see is ${span(ov.stale_ms + sinceMs)} old.`, "#/health");
  }
  for (const one of ov.partitions.filter((one) => !one.answered)) {
    say("failure", `partition ${one.partition}`, `Partition ${one.partition} does not answer${one.server ? ` (${one.server})` : ": no server holds it"}.`, "#/partitions");
  }
  for (const master of ov.masters.filter((one) => one.breaker !== "closed")) {
    say("failure", `breaker ${master.server}`, `${master.server} has not answered for ${span(master.for_ms + sinceMs)}; it is only probed.`, "#/partitions");
  }
  const orphans = consumers.orphans === 1 ? "1 orphan is" : `${plural(consumers.orphans, "orphan")} are`;
  if (consumers.alive === 0 && waiting + consumers.orphans > 0) {
    const left = [waiting > 0 ? `${plural(waiting, "stream")} ${waiting === 1 ? "waits" : "wait"}` : "", consumers.orphans > 0 ? `${orphans} left` : ""].filter(Boolean).join(", ");
    // Those of other programs don't say whether they live.
    if (consumers.unregistered > 0) say("warning", "nobody", `No consumer is registered as alive, and ${left}: only other programs can be at work.`, "#/consumers");
    else say("failure", "nobody", `Nobody works: ${left} and no consumer is alive.`, "#/consumers");
  }
  if (ov.paused_ms !== null) {
    say("warning", "paused", `The service is paused${ov.paused_ms > 0 ? ` since ${span(ov.paused_ms)}` : ""}: nothing is handed out.`, "#/overview");
  }
  if (consumers.silent > 0) {
    const [is, they] = consumers.silent === 1 ? ["is", "it"] : ["are", "they"];
    const left = consumers.orphans > 0 ? `${orphans} to go to others` : `nothing is left of what ${they} held`;
    say("warning", "silent", `${plural(consumers.silent, "consumer")} ${is} silent: ${left}.`, consumers.orphans > 0 ? "#/orphans" : "#/consumers");
  }
  if (rates.lost > 0) say("warning", "lost", `Workers lose leases: ${rate(rates.lost)} per second.`, "#/leases");
  if (rates.dead_lettered > 0) {
    say("warning", "dying", `Streams become dead letters: ${rate(rates.dead_lettered)} per second.`, "#/dead-letters");
  }
  if (waiting > 0 && consumers.alive > 0 && ov.paused_ms === null) {
    if (consumers.free === 0 && age > LONG_MS) {
      say("warning", "full", `All ${count(consumers.capacity)} slots are taken; ${plural(waiting, "stream")} ${waiting === 1 ? "waits" : "wait"}, the oldest for ${span(age)}.`, "#/consumers");
    } else if (age > LONG_MS) {
      say("warning", "slow", `The oldest stream has been waiting for ${span(age)}, though ${plural(consumers.free, "slot")} ${consumers.free === 1 ? "is" : "are"} free.`, "#/consumers");
    }
  }
  for (const check of ov.health.findings.filter((one) => one.verdict !== "ok")) {
    say(check.verdict, `check ${check.name}`, `${titled(check.name)}: ${check.found}.`.replace(/\.\.$/, "."), "#/health");
  }
  if (queue.dead_letters > 0) {
    say("info", "letters", `${plural(queue.dead_letters, "dead letter")} ${queue.dead_letters === 1 ? "waits" : "wait"} for a decision.`, "#/dead-letters");
  }
  const own = consumers.paused;
  if (own > 0 && ov.paused_ms === null) say("info", "some paused", `${plural(own, "consumer")} ${own === 1 ? "is" : "are"} paused.`, "#/consumers");
  return found;
}
