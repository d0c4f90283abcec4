// The page: what it knows, which view is shown, and when it is drawn.
import { get, token } from "./api.js";
import { onClose } from "./dialog.js";
import { patch } from "./dom.js";
import { banners, header, navigation, told } from "./frame.js";
import { follow } from "./live.js";
import { parse } from "./route.js";
import { nextTheme } from "./theme.js";
import { isStale, judge } from "./status.js";
import * as consumers from "./views/consumers.js";
import * as deadLetters from "./views/dead-letters.js";
import * as delayed from "./views/delayed.js";
import * as health from "./views/health.js";
import * as leases from "./views/leases.js";
import * as orphans from "./views/orphans.js";
import * as overview from "./views/overview.js";
import * as partitions from "./views/partitions.js";

/**
 * @typedef {{title: string, render: (app: App) => import("./dom.js").Kid[], enter?: (app: App) => void,
 *   load?: (app: App, signal: AbortSignal) => Promise<void>, every?: number, watch?: (overview: any) => any}} View
 *   `every`: ms between loads (default: each sample); `watch`: load at once when this changes
 * @typedef {typeof app} App
 */

/** @type {Record<string, View>} */
const VIEWS = { overview, consumers, leases, orphans, delayed, "dead-letters": deadLetters, partitions, health };

const app = {
  route: parse(location.hash),
  /** The newest sample. @type {any} */
  overview: null,
  receivedAt: 0,
  connected: true,
  get sinceMs() {
    return Date.now() - app.receivedAt;
  },
  get verdict() {
    return judge(app.overview, app.sinceMs);
  },
  get stale() {
    return !app.connected || isStale(app.overview, app.sinceMs);
  },
  /** Whether anything may be done here, with or without a token yet. */
  get mayAct() {
    return app.overview !== null && !app.overview.read_only;
  },
  hasToken: () => Boolean(token.get()),
  forgetToken() {
    token.set("");
    say("The token is forgotten.");
    render();
  },
  nextTheme() {
    nextTheme();
    render();
  },
  get,
  render,
  reload,
  copy,
};

const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** An address may name anything, `__proto__` too. */
const view = () => (Object.hasOwn(VIEWS, app.route.view) ? VIEWS[app.route.view] : overview);
let loading = /** @type {AbortController|null} */ (null);
let loadedAt = 0;
let watched;
let drawing = 0;

/** Draws at the next frame, however often it is asked for until then. */
function render() {
  drawing ||= requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  const shown = view();
  patch(byId("top"), header(app));
  patch(byId("nav"), navigation(app, VIEWS));
  patch(byId("main"), [banners(app), app.overview ? shown.render(app) : null]);
  patch(byId("told"), [told(app)]);
  const verdict = app.overview ? { failure: "✕ ", warning: "! " }[app.verdict.verdict] ?? "" : "";
  document.title = `${verdict}${shown.title}${app.overview ? ` – ${app.overview.service}` : ""} – streamherd`;
}

/** Asks for what the view shows, now. */
async function reload() {
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  await view().load?.(app, mine.signal);
  if (loading !== mine) return;
  loading = null;
  loadedAt = Date.now();
  render();
}

function sampled(sample) {
  app.overview = sample;
  app.receivedAt = Date.now();
  render();
  const { every = 0, watch } = view();
  const now = watch?.(sample);
  const changed = now !== watched;
  watched = now;
  if (!document.hidden && !loading && (changed || Date.now() - loadedAt >= every)) reload();
}

function navigated() {
  app.route = parse(location.hash);
  watched = undefined;
  view().enter?.(app);
  if (app.overview) watched = view().watch?.(app.overview);
  reload();
  draw();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser allows no copying here: select the text instead.");
  }
}

let toasted = 0;
function say(words) {
  const toast = byId("toast");
  toast.textContent = words;
  toast.hidden = false;
  clearTimeout(toasted);
  toasted = setTimeout(() => {
    toast.hidden = true;
  }, 2500);
}

window.addEventListener("hashchange", () => {
  navigated();
  window.scrollTo(0, 0);
  byId("nav").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) reload();
});
// The link's own target would be taken for a view.
byId("skip").onclick = (event) => {
  event.preventDefault();
  byId("main").focus();
};
onClose(() => {
  render();
  reload();
});
// Ages go on while nothing comes.
setInterval(render, 1000);
navigated();
follow(sampled, (connected) => {
  if (app.connected === connected) return;
  app.connected = connected;
  render();
});
