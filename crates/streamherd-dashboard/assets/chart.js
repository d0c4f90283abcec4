// Lines over the last hour: seen, read out at the pointer or by arrow keys, and as a table.
import { h } from "./dom.js";
import { span } from "./format.js";
import { curve, range, top, window as shownPoints, worded } from "./scale.js";

/**
 * @typedef {{name: string, values: (number|null)[], style: 1|2|3|4|5, area?: boolean}} Series
 * @typedef {{id: string, title: string, unit: import("./scale.js").Unit, series: Series[], stepMs: number, endAtMs: number}} Chart
 */

const WIDTH = 1000;
const HEIGHT = 200;
/** Where the reader looks, by chart: so many points before the newest; [null]: at the newest. */
const looked = new Map();

/** @param {Chart} chart @param {() => void} render @returns {import("./dom.js").Tree} */
export function chart({ id, title, unit, series, stepMs }, render) {
  const all = series.map((one) => one.values);
  const points = shownPoints(all, stepMs);
  const most = top(unit, Math.max(0, ...all.map((values) => range(values.slice(-points))?.most ?? 0)));
  const back = looked.get(id) ?? null;
  const look = (to) => {
    looked.set(id, to === null ? null : Math.min(points - 1, Math.max(0, to)));
    render();
  };
  const at = (values, from = back ?? 0) => values.at(-1 - from) ?? null;
  const readout = back === null ? "now" : back === 0 ? "newest" : `${span(back * stepMs)} ago`;
  const values = series.map((one) => `${one.name} ${worded(unit, at(one.values))}`).join(", ");
  const x = back === null ? 0 : (1 - back / (points - 1)) * WIDTH;
  return h("figure", { class: "card chart", key: id },
    h("figcaption", { class: "chart-head" },
      h("h2", null, title),
      h("div", { class: "legend" }, series.map((one) => h("span", null,
        h("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, h("path", { class: `curve s${one.style}`, d: "M1 4H21" })),
        one.name, h("b", null, worded(unit, at(one.values))))),
      h("span", null, readout))),
    h("div", {
      class: "plot", tabindex: 0, role: "slider", "aria-label": `${title}: read out by the arrow keys`, "aria-orientation": "horizontal",
      "aria-valuemin": -(points - 1), "aria-valuemax": 0, "aria-valuenow": -(back ?? 0), "aria-valuetext": `${readout}: ${values}`,
      onpointermove: (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        look(Math.round((1 - (event.clientX - box.left) / box.width) * (points - 1)));
      },
      onpointerleave: () => look(null),
      onblur: () => look(null),
      onkeydown: (event) => {
        const step = { ArrowLeft: 1, ArrowRight: -1, PageUp: 12, PageDown: -12, Home: points, End: -points }[event.key];
        if (event.key === "Escape") look(null);
        if (step === undefined) return;
        event.preventDefault();
        look((back ?? 0) + step);
      },
    },
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        [0, 0.5, 1].map((part) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part })),
        series.map((one) => {
          const { line, area } = curve(one.values, points, most, WIDTH, HEIGHT);
          return [
            one.area ? h("path", { key: `${one.name} area`, class: `area s${one.style}`, d: area }) : null,
            h("path", { key: one.name, class: `curve s${one.style}`, d: line }),
          ];
        }),
        back === null ? null : h("line", { key: "needle", class: "needle", x1: x, x2: x, y1: 0, y2: HEIGHT })),
      [[0, most], [50, most / 2], [100, 0]].map(([y, value]) => h("span", { class: "axis y", style: { top: `${y}%` }, "aria-hidden": "true" }, worded(unit, value))),
      h("span", { class: "axis x begin", "aria-hidden": "true" }, `${span((points - 1) * stepMs)} ago`),
      h("span", { class: "axis x middle", "aria-hidden": "true" }, `${span(((points - 1) * stepMs) / 2)} ago`),
      h("span", { class: "axis x finish", "aria-hidden": "true" }, "now")),
    asTable(title, unit, series, points, stepMs));
}

/** The same in ten lines of numbers. */
function asTable(title, unit, series, points, stepMs) {
  const stride = Math.max(1, Math.round((points - 1) / 10));
  const backs = Array.from({ length: 11 }, (_, n) => n * stride).filter((back) => series.some((one) => one.values.at(-1 - back) !== undefined));
  return h("details", null,
    h("summary", null, "As a table"),
    h("div", { class: "table stay" }, h("table", null,
      h("caption", { class: "unseen" }, title),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "When"), series.map((one) => h("th", { scope: "col", class: "number" }, one.name)))),
      h("tbody", null, backs.map((back) => h("tr", null,
        h("th", { scope: "row" }, back === 0 ? "now" : `${span(back * stepMs)} ago`),
        series.map((one) => h("td", { class: "number" }, worded(unit, one.values.at(-1 - back) ?? null)))))))));
}

/** A line without words, for one that stands beside a number. @param {(number|null)[]} values @param {1|2|3|4|5} style @param {number} stepMs @returns {import("./dom.js").Tree} */
export function spark(values, style, stepMs) {
  const points = shownPoints([values], stepMs);
  const most = Math.max(1, range(values.slice(-points))?.most ?? 0);
  const { line, area } = curve(values, points, most, 100, 30);
  return h("div", { class: "spark" }, h("svg", { viewBox: "0 -1 100 32", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("path", { class: `area s${style}`, d: area }), h("path", { class: `curve s${style}`, d: line })));
}
