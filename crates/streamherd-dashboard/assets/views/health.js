// What `streamherd doctor` finds, as this server asks it each minute.
import { h } from "../dom.js";
import { ago } from "../format.js";
import { titled } from "../status.js";
import { copyable, empty, foreign, table, tag } from "../parts.js";

export const title = "Health";

const WORDS = { ok: "ok", warning: "warning", failure: "failure", unknown: "not checked yet" };

/** @param {import("../app.js").App} app */
export function render(app) {
  const { health } = app.overview;
  const fine = health.findings.filter((one) => one.verdict === "ok");
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title), tag(health.verdict, WORDS[health.verdict] ?? health.verdict),
      h("p", { class: "note" }, "The server, the login and the keys, as ", h("code", null, "streamherd doctor"), " sees them",
        health.checked_ms === null ? "." : `; checked ${ago(health.checked_ms + app.sinceMs)}.`)),
    health.findings.length === 0 ? empty("Nothing was checked yet", h("p", null, "The first look comes with the first answer of Redis.")) : null,
    health.findings.filter((one) => one.verdict !== "ok").map((one, at) => finding(app, one, at)),
    fine.length ? h("div", { key: "fine" }, table({ caption: "Checks without a finding", rows: fine, key: (one) => `${one.name} ${where(one)}`, columns: [
      { name: "Check", lead: true, cell: (one) => h("span", { class: "nowrap" }, titled(one.name)) },
      { name: "Verdict", cell: () => tag("ok", "ok") },
      { name: "Found", cell: (one) => h("span", null, foreign(one.found), h("span", { class: "sub" }, foreign(one.meaning))) },
      { name: "Where", cell: (one) => foreign(where(one)) },
    ] })) : null,
  ];
}

function where(one) {
  return [...one.servers, ...one.partitions.map((partition) => `partition ${partition}`)].join(", ");
}

function finding(app, one, at) {
  return h("section", { class: "card", key: `${one.name} ${at}` },
    h("div", { class: "row" }, h("h2", { class: "push" }, titled(one.name)), tag(one.verdict, one.verdict)),
    h("p", null, foreign(one.found), where(one) ? h("span", { class: "none" }, ` (${where(one)})`) : null),
    h("p", { class: "note" }, foreign(one.meaning)),
    one.mend ? h("div", { class: "row" }, h("span", { class: "none" }, "Mend:"), copyable(one.mend, app.copy)) : null);
}
