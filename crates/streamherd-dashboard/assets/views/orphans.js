// What is pending at consumers that are presumed dead.
import { h } from "../dom.js";
import { empty } from "../parts.js";
import { held } from "./held.js";

export const title = "Orphans";

const list = held("orphan", "Orphans", () => empty("No orphans", h("p", null, "Every stream that was handed out has an owner who answers for it.")));
export const { enter, load } = list;

/** @param {import("../app.js").App} app */
export function render(app) {
  return [
    h("div", { class: "head", key: "head" }, h("h1", null, title),
      h("p", { class: "note" }, "Streams whose lock has expired. Workers look for them all the time: one that stays here for more than some seconds means that no worker runs, or none gets through to Redis. One that was handed out a moment ago has no lock yet.")),
    list.rows(app),
  ];
}
