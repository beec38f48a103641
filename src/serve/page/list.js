// The list of workloads: a listbox that is walked with the arrow keys and filtered as one types.
import { linear, linePath, stepPath } from "./chart.js";
import { el, setText, svg } from "./dom.js";
import { chip } from "./reasons.js";
import * as units from "./units.js";

const WIDE = 92;
const HIGH = 26;

function spark({ demand, capacity }) {
  const most = Math.max(0.001, ...demand.concat(capacity).filter((v) => v !== null));
  const y = linear(0, most, HIGH - 2, 2);
  const x = linear(0, Math.max(1, demand.length - 1), 1, WIDE - 1);
  const columns = demand.map((_, i) => ({ px: Math.round(x(i)), from: i, to: i + 1 }));
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, width: WIDE, height: HIGH, "aria-hidden": "true" },
    svg("path", { class: "line capacity", d: stepPath(columns, capacity, y) }),
    svg("path", { class: "line demand", d: linePath(columns, demand, y) }));
}

const nameOf = (row) => `${row.namespace}/${row.name}`;

export class List {
  constructor(onChoose) {
    this.rows = [];
    this.chosen = null;
    this.onChoose = onChoose;
    this.filter = el("input", {
      type: "search", id: "filter", placeholder: "Filter by name, reason, mode", "aria-label": "Filter workloads", autocomplete: "off",
      spellcheck: "false", "aria-controls": "workloads", oninput: () => this.draw(), onkeydown: (e) => this.fromFilter(e),
    });
    this.hits = el("p", { class: "hits", role: "status" });
    this.box = el("ul", { id: "workloads", role: "listbox", tabindex: 0, "aria-label": "Workloads", onkeydown: (e) => this.key(e) });
    this.element = el("section", { class: "list", "aria-label": "Workloads" }, this.filter, this.hits, this.box);
  }

  update(rows) {
    this.rows = rows;
    this.draw();
  }

  visible() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.rows.filter((row) => {
      const text = `${nameOf(row)} ${row.kind} ${row.target} ${row.mode} ${row.reason}${row.contested ? " fight" : ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  draw() {
    const rows = this.visible();
    setText(this.hits, rows.length === this.rows.length ? "" : `${rows.length} of ${this.rows.length} workloads`);
    this.box.replaceChildren(...rows.map((row) => this.row(row)));
    if (!this.rows.length) this.box.append(el("li", { class: "empty" }, "No policy has been decided on yet."));
    const at = rows.findIndex((row) => nameOf(row) === this.chosen);
    if (at >= 0) this.box.setAttribute("aria-activedescendant", `w-${nameOf(rows[at])}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  row(row) {
    const name = nameOf(row);
    const says = row.contested ? row.fight || "another autoscaler writes this workload" : row.message;
    return el("li", {
      id: `w-${name}`, role: "option", "aria-selected": String(name === this.chosen), class: row.contested ? "contested" : null,
      title: says, onclick: () => this.choose(row),
    },
    el("span", { class: "name" }, name),
    spark(row.spark),
    el("span", { class: "shape" }, units.shape(row.ready, row.podCores), row.desired === row.ready ? "" : ` → ${row.desired}`),
    row.contested ? el("span", { class: "chip short" }, el("span", { class: "sign", "aria-hidden": "true" }, "✕"), "fight") : chip(row.reason),
    row.mode === "Auto" ? null : el("span", { class: "mode" }, row.mode));
  }

  choose(row) {
    this.chosen = nameOf(row);
    this.draw();
    const node = document.getElementById(`w-${this.chosen}`);
    if (node) node.scrollIntoView({ block: "nearest" });
    this.onChoose(row);
  }

  fromFilter(event) {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      const rows = this.visible();
      if (rows.length) this.choose(rows.find((row) => nameOf(row) === this.chosen) || rows[0]);
      this.box.focus();
    } else if (event.key === "Escape" && this.filter.value) {
      this.filter.value = "";
      this.draw();
    }
  }

  key(event) {
    const rows = this.visible();
    if (!rows.length) return;
    const at = rows.findIndex((row) => nameOf(row) === this.chosen);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + 8, PageUp: at - 8 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(rows[Math.min(rows.length - 1, Math.max(0, to))]);
  }
}
