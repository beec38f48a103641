// The four plots of a workload over one time axis, with a cursor that works by pointer and by keyboard.
import { bandPath, excessPath, linePath, linear, pixelColumns, stepPath, stretches, timeTicks, valueTicks } from "./chart.js";
import { el, setText, svg, textWidth } from "./dom.js";
import { chip, meaning, sign } from "./reasons.js";
import * as units from "./units.js";

const LEFT = 48;
const RIGHT = 6;
const TITLE = 17;
const GAP = 9;
const PANELS = [["demand", 124], ["replicas", 66], ["size", 40], ["latency", 72], ["reasons", 20]];
const AXIS = 18;
/** A latency far over its objective says no more than four times over it: the axis ends there. */
const LATENCY_CUT = 4;

let serial = 0;

/** A chart of one workload. `onCursor(ms | null)` and `onOpen(ms)` are told what the reader points at and chooses. */
export class Plots {
  constructor({ label, onCursor, onOpen }) {
    this.id = `p${serial += 1}`;
    this.history = null;
    this.domain = null;
    this.cursor = null;
    this.onCursor = onCursor;
    this.onOpen = onOpen;
    this.marks = svg("g");
    this.pointer = svg("g", { class: "pointer" });
    this.svg = svg("svg", { class: "plots", "aria-hidden": "true", focusable: "false" }, this.patterns(), this.marks, this.pointer);
    this.slider = el("div", {
      class: "plot-area", tabindex: 0, role: "slider", "aria-label": `${label}: instant`, "aria-orientation": "horizontal",
      "aria-describedby": "keys", onkeydown: (e) => this.key(e), onpointermove: (e) => this.point(e),
      onpointerdown: (e) => this.point(e), onpointerleave: () => this.tell(null), onclick: (e) => this.choose(e),
    }, this.svg);
    this.when = el("span", { class: "when" });
    this.why = el("span", { class: "why" });
    this.sentence = el("p", { class: "sentence" });
    this.numbers = el("p", { class: "numbers" });
    this.open = el("button", { type: "button", class: "quiet", onclick: () => this.openAt() }, "Explain");
    this.element = el("figure", { class: "plots-figure" }, this.slider,
      el("figcaption", {}, el("div", { class: "caption-line" }, this.when, this.why, this.open), this.sentence, this.numbers));
    new ResizeObserver(() => this.draw()).observe(this.slider);
  }

  /** Hatching says "short" and "held" without its colour. */
  patterns() {
    const hatch = (name, path) => svg("pattern", { id: `${this.id}-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 6, height: 6, class: `tile ${name}` }), svg("path", { d: path, class: `stripe ${name}` }));
    return svg("defs", {}, hatch("short", "M0 6L6 0"), hatch("held", "M0 0L6 6"), hatch("blind", "M3 2V4"));
  }

  update(history, domain) {
    this.history = history;
    this.domain = domain;
    this.draw();
  }

  setCursor(ms) {
    this.cursor = ms;
    this.drawPointer();
  }

  draw() {
    const width = Math.floor(this.slider.clientWidth);
    if (!this.history || !this.history.length || width < 80) return;
    const { t0, t1 } = this.domain;
    this.width = width;
    this.x = linear(t0, t1, LEFT, width - RIGHT);
    this.columns = pixelColumns(this.history.columns.t, this.x, t0, t1);
    this.y = {};
    const parts = [];
    let top = 0;
    for (const [name, height] of PANELS) {
      const bottom = top + TITLE + height;
      parts.push(this[name](top + TITLE, bottom));
      top = bottom + GAP;
    }
    const height = top - GAP + AXIS;
    parts.push(this.timeAxis(top - GAP, height));
    this.bottom = top - GAP;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    this.marks.replaceChildren(...parts.flat(Infinity));
    this.drawPointer();
  }

  /** Title with its legend, value axis, and the panel's scale. */
  frame(name, top, bottom, title, legend, max, options = {}) {
    const ticks = valueTicks(max, bottom - top > 60 ? 3 : 2, options.whole);
    const y = linear(0, ticks[ticks.length - 1], bottom, top + 3);
    this.y[name] = y;
    const parts = [svg("text", { x: 0, y: top - 5, class: "title" }, title)];
    let at = 12 + textWidth(title, 11.5, 600);
    for (const [kind, text] of legend) {
      const wide = textWidth(text, 11);
      if (at + 18 + wide > this.width) break;
      parts.push(svg("path", { class: `key ${kind}`, d: `M${at} ${top - 9}h14` }), svg("text", { x: at + 18, y: top - 5, class: "legend" }, text));
      at += 30 + wide;
    }
    for (const v of ticks) {
      parts.push(svg("line", { class: v === 0 ? "base" : "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(v), y2: y(v) }));
      parts.push(svg("text", { class: "tick", x: LEFT - 5, y: y(v) + 3.5, "text-anchor": "end" }, (options.format || units.number)(v)));
    }
    return parts;
  }

  path(kind, d, extra = {}) {
    return d ? svg("path", { class: kind, d, ...extra }) : null;
  }

  demand(top, bottom) {
    const c = this.history.columns;
    const parts = this.frame("demand", top, bottom, "Demand, cores",
      [["line demand", "demand"], ["band", "headroom"], ["line capacity", "capacity"], ["area short", "short"]], this.domain.demand);
    const y = this.y.demand;
    parts.push(this.path("band", bandPath(this.columns, c.planned, c.demand, y)));
    parts.push(this.path("area short", excessPath(this.columns, c.demand, c.capacity, y), { fill: `url(#${this.id}-short)` }));
    parts.push(this.path("line capacity", stepPath(this.columns, c.capacity, y)));
    parts.push(this.path("line demand", linePath(this.columns, c.demand, y)));
    return parts;
  }

  replicas(top, bottom) {
    const c = this.history.columns;
    const parts = this.frame("replicas", top, bottom, "Replicas", [["line ready", "ready"], ["line desired", "wanted"]],
      this.domain.replicas, { whole: true });
    const y = this.y.replicas;
    const ready = stepPath(this.columns, c.ready, y);
    const last = this.columns[this.columns.length - 1];
    const first = this.columns[0];
    if (first) parts.push(this.path("fill ready", `${ready}V${y(0)}H${first.px}Z`), this.path("line ready", ready));
    if (last) parts.push(this.path("line desired", stepPath(this.columns, c.desired, y)));
    return parts;
  }

  size(top, bottom) {
    const c = this.history.columns;
    const parts = this.frame("size", top, bottom, "Pod size, cores", [], this.domain.size);
    const y = this.y.size;
    let from = null;
    this.columns.forEach((column, n) => {
      if (from === null) from = column;
      const next = this.columns[n + 1];
      // A bar every five pixels shows a value that holds for minutes; finer ones would be a surface.
      if (next && next.px - from.px < 5) return;
      const value = c.podCores[column.to - 1];
      const wide = Math.max(1, (next ? next.px : column.px + 1) - from.px - 1);
      if (value) parts.push(svg("rect", { class: "bar", x: from.px, y: y(value), width: wide, height: Math.max(1, y(0) - y(value)) }));
      from = null;
    });
    return parts;
  }

  latency(top, bottom) {
    const c = this.history.columns;
    if (!c.latency.some((v) => v !== null) && c.backlog.some((v) => v !== null)) return this.backlog(top, bottom);
    const target = this.domain.latencyTarget;
    const legend = target ? [["line measured", "measured"], ["line objective", `objective ${units.seconds(target)}`], ["area short", "over it"]] : [["line measured", "measured"]];
    const cut = target ? Math.min(this.domain.latency, target * LATENCY_CUT) : this.domain.latency;
    const parts = this.frame("latency", top, bottom, "Latency", legend, Math.max(cut, (target || 0) * 1.2), { format: (v) => (v ? units.seconds(v) : "0") });
    const y0 = this.y.latency;
    const y = (v) => Math.max(top, y0(v));
    this.y.latency = y;
    parts.push(this.path("line measured", linePath(this.columns, c.latency, y)));
    if (target) {
      parts.push(this.path("area short", excessPath(this.columns, c.latency, c.latencyTarget, y), { fill: `url(#${this.id}-short)` }));
      parts.push(svg("line", { class: "line objective", x1: LEFT, x2: this.width - RIGHT, y1: y(target), y2: y(target) }));
    }
    return parts;
  }

  backlog(top, bottom) {
    const c = this.history.columns;
    const drain = this.domain.drainWithin;
    const parts = this.frame("latency", top, bottom, "Waiting items",
      drain ? [["line measured", `to be drained within ${units.seconds(drain)}`]] : [], this.domain.backlog);
    parts.push(this.path("line measured", linePath(this.columns, c.backlog, this.y.latency)));
    return parts;
  }

  reasons(top, bottom) {
    const parts = [svg("text", { x: 0, y: top - 5, class: "title" }, "Reason")];
    for (const { from, to, value } of stretches(this.columns, this.history.columns.reason)) {
      const of = meaning(value);
      const fill = ["short", "held", "blind"].includes(of) ? { fill: `url(#${this.id}-${of})` } : {};
      parts.push(svg("rect", { class: `reason ${of}`, x: from, y: top, width: Math.max(1, to - from), height: bottom - top, ...fill }));
      const text = `${sign(value)} ${value}`;
      if (to - from > textWidth(text, 10.5) + 8) parts.push(svg("text", { class: `reason-text ${of}`, x: from + 4, y: bottom - 6 }, text));
      else if (to - from > 14) parts.push(svg("text", { class: `reason-text ${of}`, x: from + 3, y: bottom - 6 }, sign(value)));
    }
    return parts;
  }

  timeAxis(top, height) {
    const { t0, t1 } = this.domain;
    const days = t1 - t0 > 2 * 86_400_000;
    return timeTicks(this.x, t0, t1, 52).map((t) => {
      const x = this.x(t);
      const anchor = x > this.width - 20 ? "end" : x < LEFT + 12 ? "start" : "middle";
      return [svg("line", { class: "grid", x1: x, x2: x, y1: top, y2: top + 4 }),
        svg("text", { class: "tick", x, y: height - 3, "text-anchor": anchor }, days ? units.day(t) : units.clock(t))];
    });
  }

  /** Index that is shown: at the cursor, else the newest. */
  index() {
    if (!this.history) return -1;
    return this.cursor === null ? this.history.length - 1 : this.history.nearest(this.cursor);
  }

  drawPointer() {
    const i = this.index();
    if (i < 0 || !this.y) return;
    const c = this.history.columns;
    const x = this.x(c.t[i]);
    const parts = [];
    if (this.cursor !== null && x >= LEFT) {
      parts.push(svg("line", { x1: x, x2: x, y1: TITLE, y2: this.bottom }));
      for (const [panel, column] of [["demand", "demand"], ["demand", "capacity"], ["replicas", "ready"], ["latency", "latency"]]) {
        const v = c[column][i];
        if (v !== null) parts.push(svg("circle", { class: column, cx: x, cy: this.y[panel](v), r: 3.2 }));
      }
    }
    this.pointer.replaceChildren(...parts);
    this.describe(i, c);
  }

  describe(i, c) {
    setText(this.when, this.cursor === null ? `${units.clock(c.t[i], true)}, newest` : units.clock(c.t[i], true));
    if (this.why.textContent !== sign(c.reason[i]) + c.reason[i]) this.why.replaceChildren(chip(c.reason[i]));
    setText(this.sentence, c.message[i]);
    const facts = [`demand ${units.number(c.demand[i])}`, `capacity ${units.number(c.capacity[i])}`];
    if (c.shortage[i] > 0) facts.push(`short ${units.number(c.shortage[i])}`);
    facts.push(units.shape(c.ready[i], c.podCores[i]) + (c.desired[i] === c.ready[i] ? "" : `, ${c.desired[i]} wanted`));
    if (c.latency[i] !== null) facts.push(`latency ${units.seconds(c.latency[i])}`);
    if (c.backlog[i] !== null) facts.push(`${units.count(c.backlog[i])} waiting`);
    setText(this.numbers, facts.join(" · "));
    const { slider } = this;
    slider.setAttribute("aria-valuemin", 0);
    slider.setAttribute("aria-valuemax", c.t.length - 1);
    slider.setAttribute("aria-valuenow", i);
    slider.setAttribute("aria-valuetext", `${units.clock(c.t[i], true)}, ${c.reason[i]}: ${c.message[i]}; ${facts.join(", ")}`);
  }

  tell(ms) {
    if (this.onCursor) this.onCursor(ms);
    else this.setCursor(ms);
  }

  point(event) {
    if (!this.x) return;
    const px = event.clientX - this.svg.getBoundingClientRect().left;
    const i = this.history.nearest(this.x.invert(px));
    if (i >= 0) this.tell(this.history.columns.t[i]);
  }

  choose(event) {
    this.point(event);
    this.openAt();
  }

  openAt() {
    const i = this.index();
    if (i >= 0) this.onOpen(this.history.columns.t[i]);
  }

  key(event) {
    if (!this.history || !this.history.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const t = this.history.columns.t;
    const visible = this.columns.reduce((n, column) => n + column.to - column.from, 0);
    // One press moves a pixel's worth of instants, so the day can be walked; with Shift ten times that.
    const one = Math.max(1, Math.round(visible / Math.max(1, this.columns.length)));
    const by = { ArrowLeft: -one, ArrowDown: -one, ArrowRight: one, ArrowUp: one, PageDown: -10 * one, PageUp: 10 * one }[event.key];
    let to = null;
    if (by !== undefined) to = this.index() + by * (event.shiftKey ? 10 : 1);
    else if (event.key === "Home") to = this.columns.length ? this.columns[0].from : 0;
    else if (event.key === "End") to = t.length - 1;
    else if (event.key === "Enter" || event.key === " ") this.openAt();
    else if (event.key === "Escape") this.tell(null);
    else return;
    event.preventDefault();
    if (to !== null) this.tell(t[Math.min(t.length - 1, Math.max(0, to))]);
  }
}
