// All that is pending at a consumer.
import { h } from "../dom.js";
import { empty, foreign } from "../parts.js";
import { held } from "./held.js";

export const title = "Leases";

const list = held(undefined, "Leases", (app) => empty("Nothing is held", h("p", null,
  app.route.query.get("consumer") ? "This consumer holds nothing." : "Streams appear here as workers are handed them.")));
export const { enter, load } = list;

/** @param {import("../app.js").App} app */
export function render(app) {
  const consumer = app.route.query.get("consumer");
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      consumer ? h("span", { class: "row" }, "of ", foreign(consumer), h("a", { href: "#/leases" }, "Show all")) : null,
      h("p", { class: "note" }, "Every stream that was handed out and not finished. Its owner lives as long as its lock is renewed.")),
    list.rows(app),
  ];
}
