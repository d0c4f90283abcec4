// What stands around every view: header, navigation, banners.
import { askToken } from "./dialog.js";
import { h } from "./dom.js";
import { count, span } from "./format.js";
import { foreign } from "./parts.js";
import { link } from "./route.js";
import { isStale } from "./status.js";
import { theme } from "./theme.js";

/** @typedef {import("./app.js").App} App */

/** @param {App} app */
export function header(app) {
  const ov = app.overview;
  const on = app.connected && ov !== null && !app.stale;
  return [
    h("div", { class: "brand", key: "brand" },
      h("img", { src: "./assets/icon.svg", alt: "", width: 28, height: 28 }),
      h("span", { class: "brand-name" }, ov ? foreign(ov.service) : "", h("span", { class: "brand-product" }, ov ? " · streamherd" : "streamherd"))),
    h("span", { class: on ? "live" : "live off", key: "live", title: on ? `A sample every ${span(ov.interval_ms)}` : "What is shown is old" },
      h("span", { class: "live-words" }, on ? "Live" : ov ? "Not live" : "Connecting")),
    h("button", { key: "theme", id: "theme", type: "button", class: "plain", title: "Light, dark, or as the system has it", onclick: app.nextTheme },
      h("span", { class: "unseen" }, "Theme: "), { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme()]),
    ov === null ? null : ov.read_only
      ? h("span", { key: "token", class: "tag info", title: "Start the dashboard with --admin-token to act from here" }, "Read-only")
      : app.hasToken()
        ? h("button", { key: "forget", type: "button", class: "plain", onclick: app.forgetToken }, "Forget token")
        : h("button", { key: "enter", type: "button", class: "plain", onclick: askToken }, "Enter token"),
  ];
}

/** @param {App} app @param {Record<string, import("./app.js").View>} views */
export function navigation(app, views) {
  const badge = badges(app.overview);
  return [h("ul", null, Object.entries(views).map(([name, view]) => {
    const [text, tone] = badge[name] ?? ["", ""];
    return h("li", { key: name }, h("a", { href: link(name), "aria-current": current(app, views) === name ? "page" : null },
      view.title, text === "" ? null : [" ", h("span", { class: `count ${tone}` }, text)]));
  }))];
}

function current(app, views) {
  return Object.hasOwn(views, app.route.view) ? app.route.view : "overview";
}

/** What a view would show, in a word. */
function badges(ov) {
  if (ov === null) return {};
  const { queue, consumers, health } = ov;
  const away = ov.partitions.filter((one) => !one.answered).length;
  const some = (n) => (n > 0 ? count(n) : "");
  return {
    overview: [],
    consumers: consumers.silent > 0 ? [`${count(consumers.silent)} silent`, "warning"] : [count(consumers.alive), ""],
    leases: [some(queue.pending), ""],
    orphans: [some(consumers.orphans), "warning"],
    delayed: [some(queue.delayed), ""],
    "dead-letters": [some(queue.dead_letters), queue.dead_letters > 0 ? "warning" : ""],
    partitions: away > 0 ? [`${count(away)} away`, "failure"] : [count(ov.partitions.length), ""],
    health: [{ ok: "✓", warning: "!", failure: "✕" }[health.verdict] ?? "", health.verdict === "warning" || health.verdict === "failure" ? health.verdict : ""],
  };
}

/** What makes all of the page doubtful. @param {App} app */
export function banners(app) {
  const ov = app.overview;
  if (!app.connected) {
    return h("p", { class: "banner failure", key: "lost", id: "banner" }, ov
      ? `Connection to the dashboard's server lost ${span(app.sinceMs)} ago; trying again. Nothing below is live.`
      : "The dashboard's server does not answer; trying again.");
  }
  if (ov === null) return h("p", { class: "banner info", key: "first" }, "Asking for the first sample …");
  if (!isStale(ov, app.sinceMs)) return null;
  return h("p", { class: "banner failure", key: "stale", id: "banner" },
    h("span", null, `As of ${span(ov.stale_ms + app.sinceMs)} ago; Redis does not answer`, ov.error ? [": ", foreign(ov.error)] : "."));
}

/** For whoever listens: told again only when something begins or ends, not with each number. @param {App} app */
export function told(app) {
  if (!app.connected) return "Connection lost.";
  if (app.overview === null) return "";
  const { verdict, findings } = app.verdict;
  const kinds = findings.filter((one) => one.verdict !== "info").map((one) => one.kind);
  return kinds.length ? `${verdict}: ${kinds.join(", ")}` : verdict === "ok" ? "All is well." : "";
}
