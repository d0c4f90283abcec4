// Which server holds which part of the queue, and how much of it.
import { h } from "../dom.js";
import { count, span } from "../format.js";
import { foreign, table, tag } from "../parts.js";

export const title = "Partitions";

const BREAKERS = { closed: ["ok", "closed"], open: ["failure", "open"], half_open: ["warning", "half open"] };

/** @param {import("../app.js").App} app */
export function render(app) {
  const ov = app.overview;
  const servers = new Map(ov.masters.map((one) => [one.server, []]));
  for (const one of ov.partitions) {
    const server = one.server ?? "";
    if (!servers.has(server)) servers.set(server, []);
    servers.get(server).push(one);
  }
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      h("p", { class: "note" }, "The parts of the queue, by the server that holds them. In a cluster each part lies in one slot.")),
    h("section", { class: "card", key: "masters", "aria-labelledby": "masters-title" }, h("h2", { id: "masters-title" }, "Servers"), masters(ov)),
    [...servers].filter(([, parts]) => parts.length).map(([server, parts]) => h("section", { class: "card", key: `server ${server}` },
      h("h2", null, server ? foreign(server) : "Held by no server"), parted(parts))),
  ];
}

function parted(parts) {
  const number = (name, field) => ({ name, class: "number", cell: (one) => (one.answered ? count(one[field]) : "?") });
  return table({ caption: "Partitions", rows: parts, key: (one) => String(one.partition), columns: [
    { name: "Partition", lead: true, cell: (one) => `Partition ${one.partition}` },
    { name: "Answers", cell: (one) => (one.answered ? tag("ok", "yes") : tag("failure", "no")) },
    number("Queued", "queued"), number("Re-queued", "requeued"), number("In work", "pending"), number("Delayed", "delayed"), number("Dead letters", "dead_letters"),
  ] });
}

/** @param {any} ov */
export function masters(ov) {
  return table({ caption: "Redis servers", rows: ov.masters, key: (one) => one.server, columns: [
    { name: "Server", lead: true, cell: (one) => h("span", { class: "mono" }, foreign(one.server)) },
    { name: "Answers", cell: (one) => (one.answered ? tag("ok", "yes") : tag("failure", "no")) },
    { name: "Breaker", class: "nowrap", cell: (one) => [tag(...(BREAKERS[one.breaker] ?? ["unknown", one.breaker])), h("span", { class: "sub" }, `for ${span(one.for_ms)}`)] },
    { name: "Partitions", cell: (one) => one.partitions.join(", ") },
    { name: "Last error", cell: (one) => (one.last_error ? h("span", { class: "clamp" }, foreign(one.last_error)) : h("span", { class: "none" }, "none")) },
  ] });
}
