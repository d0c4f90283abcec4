// Light, dark, or as the system has it; kept in this browser.

const KEY = "streamherd.theme";
const ORDER = ["auto", "light", "dark"];

let current = "auto";
try {
  current = localStorage.getItem(KEY) ?? "auto";
} catch {
  // A browser may forbid storage; then the choice lasts as long as the page.
}
apply(current);

/** @returns {string} */
export function theme() {
  return current;
}

export function nextTheme() {
  apply(ORDER[(ORDER.indexOf(current) + 1) % ORDER.length]);
  try {
    localStorage.setItem(KEY, current);
  } catch {
    // As above.
  }
}

function apply(to) {
  current = ORDER.includes(to) ? to : "auto";
  if (current === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = current;
}
