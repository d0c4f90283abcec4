// What `streamherd doctor` finds, as this server asks it each minute.
import { h } from "../dom.js";
import { ago } from "../format.js";
import { copyable, empty, foreign, tag } from "../parts.js";
import { verdict } from "./overview.js";

export const title = "Health";

const WORDS = { ok: "ok", warning: "warning", failure: "failure", unknown: "not checked yet" };

/** @param {import("../app.js").App} app */
export function render(app) {
  const { health } = app.overview;
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title), tag(health.verdict, WORDS[health.verdict] ?? health.verdict),
      h("p", { class: "note" }, "The server, the login and the keys, as ", h("code", null, "streamherd doctor"), " sees them",
        health.checked_ms === null ? "." : `; checked ${ago(health.checked_ms + app.sinceMs)}.`)),
    verdict(app),
    health.findings.length === 0 ? empty("Nothing was checked yet", h("p", null, "The first look comes with the first answer of Redis."))
      : health.findings.map((one, at) => finding(app, one, at)),
  ];
}

function finding(app, one, at) {
  const where = [...one.servers, ...one.partitions.map((partition) => `partition ${partition}`)].join(", ");
  return h("section", { class: "card", key: `${one.name} ${at}` },
    h("div", { class: "row" }, h("h2", { class: "push" }, one.name.replaceAll("_", " ")), tag(one.verdict, one.verdict)),
    h("p", null, foreign(one.found), where ? h("span", { class: "none" }, ` (${where})`) : null),
    h("p", { class: "note" }, foreign(one.meaning)),
    one.mend ? h("div", { class: "row" }, h("span", { class: "none" }, "Mend:"), copyable(one.mend, app.copy)) : null);
}
