// What is wrong with the page as it stands, one line each. `arguments[0]`: whether it is touched.
const touched = arguments[0];
const wrong = [];
const shown = (node) => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && node.getClientRects().length > 0;
const all = (css) => [...document.querySelectorAll(css)].filter(shown);
const which = (node) => `<${node.tagName.toLowerCase()}${node.id ? ` id=${node.id}` : ""} class="${node.getAttribute("class") ?? ""}"> ${(node.textContent ?? "").trim().slice(0, 40)}`;
const say = (what, node) => wrong.push(node ? `${what}: ${which(node)}` : what);

// Structure.
if (document.documentElement.lang !== "en") say("the document has no language");
if (!document.title) say("the document has no title");
if (all("h1").length !== 1) say(`${all("h1").length} first headings`);
let level = 0;
for (const heading of all("h1, h2, h3, h4")) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) say(`a heading of level ${own} after one of level ${level}`, heading);
  level = own;
}
for (const landmark of ["header", "nav", "main"]) if (all(landmark).length === 0) say(`no ${landmark}`);
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) say(`the id ${id} is there twice`);
for (const table of all("table")) {
  if (!table.caption?.textContent) say("a table without a caption", table);
  for (const head of table.querySelectorAll("th")) if (!head.scope) say("a head without a scope", head);
}
if (document.querySelectorAll("#nav [aria-current=page]").length !== 1) say("not exactly one view is the current one");

// Names.
const name = (node) => {
  const by = node.getAttribute("aria-labelledby");
  if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  return (node.getAttribute("aria-label") ?? [...(node.labels ?? [])].map((one) => one.textContent).join(" ")).trim() || node.textContent.trim() || node.title || "";
};
for (const node of all("a[href], button, input, select, summary, [tabindex='0'], [role=progressbar], [role=slider], dialog[open]")) {
  if (!name(node)) say("no name", node);
}
for (const node of all("input, select")) if (!node.labels?.length && !node.getAttribute("aria-label")) say("no label", node);
for (const node of all("img")) if (node.getAttribute("alt") === null) say("no alternative text", node);
for (const node of all("[role=slider], [role=progressbar]")) {
  for (const attribute of ["aria-valuenow", "aria-valuemin", "aria-valuemax"]) if (!node.hasAttribute(attribute)) say(`no ${attribute}`, node);
}
for (const node of all("a a, a button, button button, button a, [role=button]:not(button)")) say("one control in another", node);
for (const node of all("[tabindex]")) if (Number(node.getAttribute("tabindex")) > 0) say("its own order of tabs", node);

// Contrast: of every text with what lies behind it.
const channels = (color) => {
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const over = (top, below) => ({ r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1 });
const behind = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    const color = channels(getComputedStyle(at).backgroundColor);
    if (color.a > 0) layers.push(color);
    if (color.a === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), { r: 255, g: 255, b: 255, a: 1 });
};
const luminance = ({ r, g, b }) => {
  const linear = [r, g, b].map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const node = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || seen.has(node) || !shown(node) || node.closest(".unseen, noscript, .skip")) continue;
  seen.add(node);
  const style = getComputedStyle(node);
  const ground = behind(node);
  const ratio = contrast(over(channels(style.color), ground), ground);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) say(`a contrast of ${ratio.toFixed(2)}`, node);
}

// Room.
// (A phone zooms out where a page is too wide: `innerWidth` grows with it.)
const { scrollWidth, clientWidth } = document.documentElement;
if (scrollWidth > clientWidth) say(`the page is ${scrollWidth} wide on a screen of ${clientWidth}`);
if (touched) {
  for (const node of all("button, select, input:not([type=checkbox]), label.tick, summary, #nav a")) {
    const { height } = node.getBoundingClientRect();
    if (height < 40) say(`only ${height.toFixed(0)} high to be touched`, node);
  }
}
return wrong;
