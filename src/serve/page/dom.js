// Building the page from elements. Strings become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const pen = document.createElement("canvas").getContext("2d");

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

/** An HTML element; `onclick: f` listens, everything else is an attribute. */
export function el(name, props = {}, ...children) {
  return fill(document.createElement(name), props, children);
}

/** An SVG element. */
export function svg(name, props = {}, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

/** Sets an element's text only when it changes, so that nothing is read out twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Width of a text in pixels, in the page's font. */
export function textWidth(text, size, weight = 400) {
  pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

/** A table from column titles and rows of cells; a cell is text or a node; columns from the second on are numbers. */
export function table(caption, titles, rows, options = {}) {
  const numeric = (i) => (i === 0 || (options.text || []).includes(i) ? null : "num");
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, titles.map((t, i) => el("th", { scope: "col", class: numeric(i) }, t)))),
      el("tbody", {}, rows.map((row) => el("tr", { class: row.marked ? "chosen" : null },
        row.cells.map((cell, i) => i === 0
          ? el("th", { scope: "row", class: numeric(i) }, cell)
          : el("td", { class: numeric(i) }, cell)))))));
}
