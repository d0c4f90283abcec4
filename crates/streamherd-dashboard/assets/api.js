// The REST API. All addresses are relative, as the dashboard may be mounted below a path.

const BASE = new URL("../api/v1/", import.meta.url);
const KEY = "streamherd.token";

/** What the API or the network said. */
export class ApiError extends Error {
  /** @param {string} code @param {string} message @param {number} status 0 where nothing answered */
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** For as long as this tab is open, and for it alone. */
export const token = {
  /** @returns {string} */
  get: () => stored(() => sessionStorage.getItem(KEY)) ?? token.kept,
  /** @param {string} text */
  set(text) {
    token.kept = text;
    stored(() => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)));
  },
  kept: "",
};

/** A browser may forbid storage. */
function stored(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

/** @param {string} path @returns {string} */
export function address(path) {
  return new URL(path, BASE).href;
}

/**
 * @param {string} path @param {Record<string, any>} [query] what is empty is left out @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, query = {}, signal) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return ask(url, { signal });
}

/** @param {string} path @param {object} body @param {string} [as] a token to be tried @returns {Promise<any>} */
export function post(path, body, as = token.get()) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${as}` };
  return ask(new URL(path, BASE), { method: "POST", headers, body: JSON.stringify(body) });
}

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { ...options, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError("unreachable", "The dashboard's server does not answer. Is it still running?", 0);
  }
  const text = await answer.text();
  const body = parsed(text);
  if (answer.ok) return body;
  const told = body?.error;
  throw new ApiError(told?.code ?? "unknown", told?.message ?? (text.slice(0, 300) || `HTTP ${answer.status}`), answer.status);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
