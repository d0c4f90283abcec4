// The arithmetic of charts. Pure.
import { count, rate, span } from "./format.js";

/** @typedef {"count"|"rate"|"span"} Unit */

const WORDS = { count, rate: (n) => (n === null || n === undefined ? "–" : `${rate(n)}/s`), span };

/** @param {Unit} unit @param {number|null|undefined} value @returns {string} */
export function worded(unit, value) {
  return WORDS[unit](value);
}

const SPAN_STEPS = [1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 144e5, 432e5, 864e5];

/**
 * The end of an axis that goes up to at least `most`, and half of which is a round number too.
 * @param {Unit} unit @param {number} most @returns {number}
 */
export function top(unit, most) {
  if (unit === "span") return SPAN_STEPS.find((step) => step >= most) ?? Math.ceil(most / 864e5) * 864e5;
  const least = unit === "count" ? 4 : 1;
  if (most <= least) return least;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most * 0.999) ?? most;
}

/** How many of the points to show: the least of some spans that has all that are known. @param {(number|null)[][]} series @param {number} stepMs @returns {number} */
export function window(series, stepMs) {
  const length = Math.max(0, ...series.map((values) => values.length));
  const first = Math.min(length, ...series.map((values) => {
    const at = values.findIndex((value) => value !== null);
    return at < 0 ? length : at + (length - values.length);
  }));
  const known = length - first;
  const spans = [4, 10, 20, 30, 60].map((min) => (min * 60_000) / stepMs + 1);
  return Math.round(spans.find((points) => points >= known) ?? spans.at(-1));
}

/**
 * A curve in a box, with gaps where nothing is known.
 * @param {(number|null)[]} values newest last @param {number} points of the box's width @param {number} most
 * @param {number} width @param {number} height
 * @returns {{line: string, area: string}} as the `d` of a path
 */
export function curve(values, points, most, width, height) {
  const shown = values.slice(-points);
  const skipped = points - shown.length;
  const x = (at) => (((at + skipped) / Math.max(1, points - 1)) * width).toFixed(1);
  const y = (value) => (height - (Math.min(value, most) / most) * height).toFixed(1);
  let line = "";
  let area = "";
  let begun = -1;
  const end = (at) => {
    // A point without neighbours is drawn as a dot.
    if (begun >= 0 && begun === at) line += "h.1";
    if (begun >= 0) area += `L${x(at)} ${height}L${x(begun)} ${height}Z`;
    begun = -1;
  };
  shown.forEach((value, at) => {
    if (value === null || value === undefined) {
      end(at - 1);
      return;
    }
    const step = `${begun < 0 ? "M" : "L"}${x(at)} ${y(value)}`;
    if (begun < 0) begun = at;
    line += step;
    area += step;
  });
  end(shown.length - 1);
  return { line, area };
}

/** @param {(number|null)[]} values @returns {{least: number, most: number, last: number|null}|null} [null] where nothing is known */
export function range(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length === 0) return null;
  return { least: Math.min(...known), most: Math.max(...known), last: values.at(-1) ?? null };
}
