// Words for numbers, and text of strangers made harmless to the eye. All pure.

/** @param {number|null|undefined} ms @returns {string} "now", "850 ms", "12 s", "3 min", "2 h 5 min", "4 d 3 h" */
export function span(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1) return "0 s";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 9.95) return `${trim(s.toFixed(1))} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  const min = Math.round(s / 60);
  if (min < 60) return `${min} min`;
  const hours = Math.floor(min / 60);
  if (hours < 24) return min % 60 ? `${hours} h ${min % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** @param {number|null|undefined} ms @returns {string} */
export function ago(ms) {
  return ms === null || ms === undefined ? "–" : ms < 1000 ? "just now" : `${span(ms)} ago`;
}

/** @param {number|null|undefined} n @returns {string} "–", "12,345", "1.2 M" */
export function count(n) {
  if (n === null || n === undefined) return "–";
  if (n >= 10_000_000) return `${trim((n / 1_000_000).toFixed(1))} M`;
  return Math.round(n).toLocaleString("en-US");
}

/** @param {number|null|undefined} perSecond @returns {string} without a unit */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return "< 0.1";
  return perSecond < 10 ? trim(perSecond.toFixed(1)) : count(perSecond);
}

/** @param {number} n @param {string} one @param {string} [many] @returns {string} "1 stream", "3 streams" */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** @param {number} n @returns {string} */
export function bytes(n) {
  if (n < 1024) return `${n} B`;
  return n < 1024 * 1024 ? `${trim((n / 1024).toFixed(1))} KiB` : `${trim((n / 1024 / 1024).toFixed(1))} MiB`;
}

/** @param {number} ms Unix @returns {string} in the zone of whoever looks */
export function clock(ms) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return String(ms);
  const two = (n) => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function trim(number) {
  return number.replace(/\.0$/, "");
}

// Controls, what can turn the order of a line or hide in it, and halves of characters.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\u{e0001}|[\u{e0020}-\u{e007f}]/gu;

/** @param {string} character @returns {string} how it is shown: `\n`, `\u202e` */
export function escaped(character) {
  const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  return short ?? `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * Cuts a stranger's text in what is shown as it is and what has to be marked.
 * @param {string} text @param {boolean} [lines] whether line ends may stay
 * @returns {{text: string, unseen: boolean}[]}
 */
export function pieces(text, lines = false) {
  const all = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (lines && (found[0] === "\n" || found[0] === "\t")) continue;
    if (found.index > from) all.push({ text: text.slice(from, found.index), unseen: false });
    all.push({ text: escaped(found[0]), unseen: true });
    from = found.index + found[0].length;
  }
  if (from < text.length) all.push({ text: text.slice(from), unseen: false });
  return all;
}

/** The same as one string, for titles. @param {string} text @returns {string} */
export function plain(text) {
  return pieces(text).map((piece) => piece.text).join("");
}
