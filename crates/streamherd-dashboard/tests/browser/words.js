const done = arguments[arguments.length - 1];
const from = (name) => import(new URL(`./assets/${name}.js`, location.href));
Promise.all(["format", "scale", "status", "route"].map(from)).then(([format, scale, status, route]) => {
  const quiet = {
    at_ms: 0, service: "orders", interval_ms: 2000, read_only: false, stale_ms: 100, error: null, used: true,
    queue: { queued: 0, queued_oldest_ms: null, requeued: 0, requeued_oldest_ms: null, pending: 3, delayed: 0, delayed_next_ms: null, dead_letters: 0 },
    rates: { queued: 0, done: 0, retried: 0, dead_lettered: 0, lost: 0 },
    consumers: { alive: 2, silent: 0, unregistered: 0, paused: 0, capacity: 8, held: 3, free: 5, orphans: 0 },
    paused_ms: null, pauses: [], partitions: [{ partition: 0, server: "r:1", answered: true }],
    health: { verdict: "ok", checked_ms: 0, findings: [] }, masters: [],
  };
  const headline = (change, since = 0) => {
    const verdict = status.judge({ ...quiet, ...change }, since);
    return `${verdict.verdict}: ${verdict.headline}`;
  };
  const queue = (change) => ({ queue: { ...quiet.queue, ...change } });
  const consumers = (change) => ({ consumers: { ...quiet.consumers, ...change } });
  const rows = [
    [format.span(0), "0 s"], [format.span(850), "850 ms"], [format.span(1000), "1 s"], [format.span(4230), "4.2 s"], [format.span(119_000), "119 s"],
    [format.span(120_000), "2 min"], [format.span(3_599_000), "1 h"], [format.span(7_500_000), "2 h 5 min"], [format.span(99 * 3_600_000), "4 d 3 h"], [format.span(null), "–"],
    [format.count(12345), "12,345"], [format.count(12_300_000), "12.3 M"], [format.count(null), "–"],
    [format.rate(0), "0"], [format.rate(0.01), "< 0.1"], [format.rate(3.14), "3.1"], [format.rate(1234.5), "1,235"], [format.rate(null), "–"],
    [format.plural(1, "stream"), "1 stream"], [format.plural(2, "stream"), "2 streams"], [format.bytes(1536), "1.5 KiB"],
    [format.plain("a\u202eb\u0000\nc"), "a\\u202eb\\u0000\\nc"], [format.plain("tail\ud800"), "tail\\ud800"], [format.plain("żółw 🐢 你好"), "żółw 🐢 你好"],
    [format.plain("\u200b\ufeff\u2066"), "\\u200b\\ufeff\\u2066"], [format.pieces("a\nb", true).length, 1],
    [scale.top("count", 3), 4], [scale.top("count", 41), 60], [scale.top("rate", 0.2), 1], [scale.top("span", 93_000), 120_000], [scale.top("count", 1000), 1000], [scale.top("count", 12), 12], [scale.top("rate", 130), 160],
    [scale.window([[null, null, 1]], 5000), 49], [scale.window([Array(720).fill(1)], 5000), 721], [scale.window([], 5000), 49],
    [scale.curve([1, null, 3], 3, 4, 100, 40).line, "M0.0 30.0h.1M100.0 10.0h.1"], [scale.curve([], 3, 4, 100, 40).line, ""],
    [scale.curve([2, 4], 3, 4, 100, 40).area, "M50.0 20.0L100.0 0.0L100.0 40L50.0 40Z"],
    [route.parse("#/leases?consumer=a%26b").query.get("consumer"), "a&b"], [route.parse("").view, "overview"], [route.parse("#/dead-letters/0:1-2").rest, "0:1-2"],
    [route.link("leases", { consumer: "a&b", state: "" }), "#/leases?consumer=a%26b"],
    [headline({}), "ok: All is well."],
    [headline({ health: { verdict: "unknown", checked_ms: null, findings: [] } }), "unknown: The server, the login and the keys were not checked yet."],
    [headline({ used: false }), "info: Nothing was ever submitted to “orders”, and no worker has run."],
    [headline({ error: "refused", stale_ms: 12_000 }), "failure: Redis does not answer; what you see is 12 s old."],
    [headline({}, 10_000), "failure: Redis does not answer; what you see is 10 s old."],
    [headline({ ...queue({ queued: 2, queued_oldest_ms: 5 }), ...consumers({ alive: 0, capacity: 0, held: 0, free: 0 }) }), "failure: Nobody works: 2 streams wait and no consumer is alive."],
    [headline({ ...queue({ requeued: 1 }), ...consumers({ alive: 0, silent: 1, orphans: 3 }) }), "failure: Nobody works: 1 stream waits, 3 orphans are left and no consumer is alive."],
    [headline(consumers({ alive: 0, silent: 1, orphans: 1 })), "failure: Nobody works: 1 orphan is left and no consumer is alive."],
    [headline({ ...queue({ queued: 2 }), ...consumers({ alive: 0, unregistered: 1 }) }), "warning: No consumer is registered as alive, and 2 streams wait: only other programs can be at work."],
    [headline({ partitions: [{ partition: 4, server: null, answered: false }] }), "failure: Partition 4 does not answer: no server holds it."],
    [headline({ masters: [{ server: "r:1", breaker: "open", for_ms: 4000 }] }), "failure: r:1 has not answered for 4 s; it is only probed."],
    [headline({ paused_ms: 180_000 }), "warning: The service is paused since 3 min: nothing is handed out."],
    [headline(consumers({ silent: 1, orphans: 1 })), "warning: 1 consumer is silent: 1 orphan is to go to others."],
    [headline(consumers({ silent: 2, orphans: 5 })), "warning: 2 consumers are silent: 5 orphans are to go to others."],
    [headline(consumers({ silent: 1 })), "warning: 1 consumer is silent: nothing is left of what it held."],
    [headline({ rates: { ...quiet.rates, dead_lettered: 0.5 } }), "warning: Streams become dead letters: 0.5 per second."],
    [headline({ ...queue({ queued: 9, queued_oldest_ms: 90_000 }), ...consumers({ free: 0, held: 8 }) }), "warning: All 8 slots are taken; 9 streams wait, the oldest for 90 s."],
    [headline(queue({ queued: 1, queued_oldest_ms: 61_000 })), "warning: The oldest stream has been waiting for 61 s, though 5 slots are free."],
    [headline(queue({ dead_letters: 3 })), "ok: All is well."],
    [headline({ health: { verdict: "failure", checked_ms: 0, findings: [{ name: "memory", verdict: "failure", found: "memory is full" }, { name: "x", verdict: "ok", found: "" }] } }), "failure: Memory: memory is full."],
  ];
  done(rows.filter(([is, should]) => is !== should).map(([is, should]) => ({ is, should })));
}).catch((e) => done([String(e)]));
