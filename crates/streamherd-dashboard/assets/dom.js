// Views are functions from data to a tree of plain objects; `patch` makes the document match the tree, and keeps the
// elements that stay, so that focus, selection and scroll survive a refresh. There is no way to set markup: what comes
// from Redis can only become text.

/**
 * @typedef {{tag: string, key: string|undefined, props: Record<string, any>, kids: Kid[]}} Tree
 * @typedef {Tree|string|number|null|undefined|false|Kid[]} Kid
 */

const TREE = Symbol("tree");
const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line"]);
/** What an element has as a property, because its attribute is only the beginning. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "open", "selected"]);

/**
 * @param {string} tag
 * @param {Record<string, any>|null} [props] `class`, attributes, `on…` handlers, `style` as an object, `key` among siblings
 * @param {...Kid} kids
 * @returns {Tree}
 */
export function h(tag, props, ...kids) {
  const { key, ...rest } = props ?? {};
  return { tag, key: key === undefined ? undefined : String(key), props: rest, kids };
}

/**
 * Makes the children of `parent` be `kids`.
 * @param {Element} parent
 * @param {Kid[]} kids
 */
export function patch(parent, kids) {
  const wanted = kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false && kid !== "");
  const keys = new Set(wanted.map((kid) => kid.key).filter((key) => key !== undefined));
  const keyed = new Map();
  // What goes is taken out first: then what stays need not move, and keeps the focus.
  for (const node of [...parent.childNodes]) {
    const key = node[TREE]?.key;
    if (key === undefined) continue;
    if (keys.has(key) && !keyed.has(key)) keyed.set(key, node);
    else node.remove();
  }
  let at = parent.firstChild;
  for (const kid of wanted) {
    let node = kid.key === undefined ? at : keyed.get(kid.key);
    if (!node || !fits(node, kid)) node = create(kid);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    update(node, kid);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function fits(node, kid) {
  if (typeof kid !== "object") return node.nodeType === Node.TEXT_NODE;
  const tree = node[TREE];
  return tree !== undefined && tree.tag === kid.tag && tree.key === kid.key;
}

function create(kid) {
  if (typeof kid !== "object") return document.createTextNode(String(kid));
  const node = SVG_TAGS.has(kid.tag) ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  node[TREE] = { tag: kid.tag, key: kid.key, props: {} };
  return node;
}

function update(node, kid) {
  if (typeof kid !== "object") {
    const text = String(kid);
    if (node.data !== text) node.data = text;
    return;
  }
  const before = node[TREE].props;
  for (const name of Object.keys(before)) {
    if (!(name in kid.props)) set(node, name, undefined, before[name]);
  }
  node[TREE] = kid;
  // Options first: a select takes its value from among them.
  patch(node, kid.kids);
  for (const [name, value] of Object.entries(kid.props)) {
    if (before[name] !== value) set(node, name, value, before[name]);
  }
}

function set(node, name, value, before) {
  if (name.startsWith("on")) {
    node[name] = value ?? null;
  } else if (name === "style") {
    for (const property of Object.keys(before ?? {})) if (!value || !(property in value)) node.style.removeProperty(property);
    for (const [property, to] of Object.entries(value ?? {})) node.style.setProperty(property, to);
  } else if (PROPERTIES.has(name)) {
    node[name] = value ?? (name === "value" ? "" : false);
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}
