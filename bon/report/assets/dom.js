// Elements from data. Whatever a model wrote enters the page through here, as text, never as markup.

const $ = (id) => document.getElementById(id);

/** An element: h("div", {class: "x", onclick: f}, "text", child, ...). Null children are left out. */
function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}
const SVG_TAGS = new Set(["svg", "g", "path", "line", "circle", "text", "title"]);

/** Text of a model: its own direction, its own line breaks. */
const quoted = (text, attributes) =>
  h("div", { class: "quoted", dir: "auto", ...attributes }, text || "(empty)");

const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)}%`);
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);

/** A count of verdicts, in which a tie is one half. */
const halves = (n) => (n % 1 ? `${Math.floor(n) || ""}½` : String(n));

const mark = (right) =>
  right === null || right === undefined
    ? null
    : h("span", { class: right ? "right" : "wrong", title: right ? "right" : "wrong" }, right ? "✓" : "✗");
