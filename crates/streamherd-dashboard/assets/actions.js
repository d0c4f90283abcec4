// What an operator may do, each with the question that comes before it.
import { post } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { count, plural } from "./format.js";
import { foreign } from "./parts.js";

/** What one call takes at most. */
export const MOST_LETTERS = 1000;

/** @param {{partition: number, id: string}} letter @returns {string} */
export function letterId(letter) {
  return `${letter.partition}:${letter.id}`;
}

const OUTCOMES = {
  redriven: "queued again",
  coalesced: "queued or held already: will be worked on once more if need be",
  superseded: "still dead letters: newer info is waiting already. Purge them",
  too_large: "still dead letters: no reader would take them",
  purged: "purged",
  gone: "no dead letters any more: somebody was faster, or they were trimmed",
  failed: "still dead letters: Redis refused",
};

function outcomes(answer) {
  const counts = answer.outcomes ?? { redriven: answer.redriven, purged: answer.purged };
  const lines = Object.entries(counts).filter(([, n]) => n > 0);
  return [
    lines.length ? h("ul", null, lines.map(([name, n]) => h("li", null, h("strong", null, count(n)), ` ${OUTCOMES[name] ?? name}`))) : h("p", null, "There was none."),
    answer.next ? h("p", { class: "note" }, "There may be more. Do it again, or run `streamherd dlq redrive` for many.") : null,
  ];
}

function redriveWords(n, more = false) {
  return {
    title: `Redrive ${plural(n, "dead letter")}?`,
    body: h("p", null, `${n === 1 ? "It goes" : "They go"} to the front of the queue, and ${n === 1 ? "its" : "their"} failures count from zero.`,
      more ? " There are more that may match: these are the oldest." : ""),
  };
}

/** @param {{ids: string[]}} which @param {number} n @param {() => void} then */
export function redrive(which, n, then) {
  ask({ ...redriveWords(n), action: "Redrive", run: async () => finished(await post("dead-letters/redrive", which), then) });
}

/** Those that match, after counting them. @param {object} filter @param {() => void} then */
export function redriveAll(filter, then) {
  const body = { filter, limit: MOST_LETTERS };
  ask({
    title: "Redrive all that match?",
    body: h("p", null, "Counting them …"),
    action: "Redrive",
    prepare: async () => {
      const answer = await post("dead-letters/redrive", { ...body, dry_run: true });
      return redriveWords(answer.redriven, Boolean(answer.next));
    },
    run: async () => finished(await post("dead-letters/redrive", body), then),
  });
}

/** @param {{ids: string[]}} which @param {number} n @param {() => void} then */
export function purge(which, n, then) {
  ask({
    title: `Purge ${plural(n, "dead letter")}?`,
    body: h("p", null, `${n === 1 ? "It is" : "They are"} deleted for good: nobody will work on ${n === 1 ? "it" : "them"}.`),
    action: "Purge",
    grave: true,
    word: "purge",
    run: async () => finished(await post("dead-letters/purge", { ...which, confirm: "purge" }), then),
  });
}

function finished(answer, then) {
  then();
  return outcomes(answer);
}

const REQUEUED = {
  already_queued: "It waits for a worker already; nothing was changed.",
  made_due: "It is on the queue now.",
  requeued: "It is at the front of the queue now.",
  held: "Its owner holds it; nothing was changed.",
  too_large: "It is too large to be queued again; the scan will put it to the dead letters.",
  not_found: "It has moved on; look again. Nothing was changed.",
};

/** What the API takes as the id of an entry; other programs' delayed ones may have any. */
const ENTRY = /^(front:|delayed:)?\d{1,20}-\d{1,20}$/;

/** @param {any} lease or delayed stream @param {"held"|"orphan"|"delayed"} how @param {() => void} then */
export function requeue(lease, how, then) {
  // This very entry: another run of its name, or its next owner, was not asked about.
  const byEntry = lease.stream === null || ENTRY.test(lease.id);
  const which = byEntry ? { partition: lease.partition, id: lease.id } : { stream: lease.stream };
  const held = how === "held";
  ask({
    title: held ? ["Take ", named(lease), " from its owner?"] : ["Queue ", named(lease), " now?"],
    body: h("p", null, held
      ? ["It goes to the front of the queue. ", foreign(lease.consumer), " loses its lease and may work on for up to a heartbeat: only fencing tokens keep its side effects out. This counts no failure."]
      : how === "delayed" ? "It doesn't wait until it is due. This counts no failure." : "It goes to the front of the queue without waiting for the scan. This counts no failure."),
    action: held ? "Take it" : "Queue it",
    grave: held,
    run: async () => {
      const answer = await post("requeue", { ...which, force: held && byEntry });
      then();
      return h("p", null, REQUEUED[answer.outcome] ?? answer.outcome);
    },
  });
}

function named(lease) {
  return lease.stream === null ? lease.id : h("q", null, foreign(lease.stream.length > 80 ? `${lease.stream.slice(0, 80)}…` : lease.stream));
}

/** @param {boolean} paused what is wanted @param {string|null} consumer id or name; [null]: the service @param {() => void} then */
export function pause(paused, consumer, then) {
  const whom = consumer === null ? "the service" : h("q", null, foreign(consumer));
  ask({
    title: [paused ? "Pause " : "Resume ", whom, "?"],
    body: h("p", null, paused ? "No new streams are handed out, also after a restart, until somebody resumes it. What is held goes on." : "Streams are handed out again."),
    action: paused ? "Pause" : "Resume",
    run: async () => {
      const answer = await post(paused ? "pause" : "resume", consumer === null ? {} : { consumer });
      then();
      return h("p", null, answer.changed ? (paused ? "Paused." : "Resumed.") : "It was so already.");
    },
  });
}
