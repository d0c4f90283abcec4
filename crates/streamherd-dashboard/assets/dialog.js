// Nothing is changed before a dialog was answered: it says how much, and shows afterwards what came of it.
import { post, token } from "./api.js";
import { h, patch } from "./dom.js";
import { foreign } from "./parts.js";

/**
 * @typedef {import("./dom.js").Kid} Kid
 * @typedef {{title: Kid, body: Kid, action: string, grave?: boolean, word?: string, run: () => Promise<Kid>}} Question
 *   `word`: has to be typed first; `run`: what came of it
 * @typedef {Question & {prepare?: () => Promise<Partial<Question>|null>}} Prepared
 *   `prepare`: finds out what the question is, once there is a token; [null]: there is nothing to ask
 */

const element = /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));
/** @type {any} */
let state = null;
let closed = () => {};

element.addEventListener("close", () => {
  state = null;
  patch(element, []);
  closed();
  // What had the focus may be gone by now.
  if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
});
// While something is under way, its outcome must not be missed.
element.addEventListener("cancel", (event) => {
  if (state?.kind === "busy") event.preventDefault();
});

/** @param {() => void} then whenever a dialog was closed */
export function onClose(then) {
  closed = then;
}

/** Asks for the token if there is none yet, then the question. @param {Prepared} question */
export function ask(question) {
  show(token.get() ? { kind: "ask", question, typed: "" } : { kind: "token", question, typed: "" });
}

/** Asks for the token alone. */
export function askToken() {
  show({ kind: "token", question: null, typed: "" });
}

function show(next) {
  state = next;
  patch(element, [form()]);
  if (!element.open) element.showModal();
  element.querySelector(".begin")?.focus();
  if (next.kind === "ask" && next.question.prepare && !next.error) prepare(next);
}

async function prepare(mine) {
  try {
    const { prepare: find, ...question } = mine.question;
    const found = await find();
    if (state === mine) show({ ...mine, question: { ...question, ...found } });
  } catch (e) {
    if (state === mine) failed(mine.question, e);
  }
}

/** A token that is not taken any more is asked for anew. */
function failed(question, error) {
  if (error.status === 401) {
    token.set("");
    show({ kind: "token", question, typed: "", error });
  } else {
    show({ ...state, kind: "ask", error });
  }
}

function form() {
  return { token: tokenForm, ask: askForm, busy: askForm, done: doneForm }[state.kind]();
}

function framed(key, title, kids, submit) {
  return h("form", { key, onsubmit: (event) => { event.preventDefault(); submit(); } }, h("h2", { id: "dialog-title" }, title), kids);
}

function typed(event) {
  state.typed = event.currentTarget.value;
  patch(element, [form()]);
}

function tokenForm() {
  return framed("token", "Admin token", [
    h("p", { class: "note" }, "Actions need the token that the dashboard was started with (", h("code", { class: "nowrap" }, "--admin-token"), " or ", h("code", { class: "nowrap" }, "STREAMHERD_ADMIN_TOKEN"), "). It is kept in this tab until you close it."),
    h("label", { class: "field" }, "Token", h("input", { class: "begin", id: "token", type: "password", autocomplete: "off", required: true, value: "", oninput: typed })),
    failure(),
    h("div", { class: "row end" },
      h("button", { type: "button", onclick: () => element.close() }, "Cancel"),
      h("button", { type: "submit", class: "main-action", disabled: !state.typed || state.busy }, state.question ? "Continue" : "Use this token")),
  ], async () => {
    const mine = state;
    if (!mine.typed || mine.busy) return;
    mine.busy = true;
    mine.error = null;
    try {
      await post("session", {}, mine.typed);
      token.set(mine.typed);
      if (state !== mine) return;
      if (mine.question) show({ kind: "ask", question: mine.question, typed: "" });
      else element.close();
    } catch (e) {
      mine.busy = false;
      mine.error = e;
      if (state === mine) show(mine);
    }
  });
}

function askForm() {
  const { question } = state;
  const busy = state.kind === "busy";
  const ready = !busy && !question.prepare && (!question.word || state.typed === question.word);
  return framed("ask", question.title, [
    h("div", null, question.body),
    question.word ? h("label", { class: "field" }, h("span", null, "Type ", h("strong", null, question.word), " to go on"),
      h("input", { id: "word", class: "begin", type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", value: "", oninput: typed })) : null,
    failure(),
    h("div", { class: "row end" },
      h("button", { type: "button", class: question.word ? null : "begin", disabled: busy, onclick: () => element.close() }, "Cancel"),
      h("button", { type: "submit", class: `main-action${question.grave ? " grave" : ""}`, disabled: !ready }, busy ? "Working …" : question.action)),
  ], async () => {
    if (!ready) return;
    state = { ...state, kind: "busy", error: null };
    patch(element, [form()]);
    try {
      const outcome = await question.run();
      show({ kind: "done", question, outcome });
    } catch (e) {
      failed(question, e);
    }
  });
}

function doneForm() {
  return framed("done", state.question.title, [
    h("div", { role: "status", id: "outcome" }, state.outcome),
    h("div", { class: "row end" }, h("button", { type: "submit", class: "begin main-action" }, "Close")),
  ], () => element.close());
}

function failure() {
  return state.error ? h("p", { class: "banner failure", role: "alert", key: "error" }, foreign(state.error.message)) : null;
}
