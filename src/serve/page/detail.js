// The chosen workload: its sentence and its plots.
import { largest } from "./chart.js";
import { el, setText } from "./dom.js";
import { Plots } from "./plots.js";
import { chip } from "./reasons.js";
import { History } from "./store.js";
import * as units from "./units.js";

const HOUR = 3_600_000;
const RANGES = [["1 h", HOUR], ["6 h", 6 * HOUR], ["all", Infinity]];

/** Bounds of all axes over a stretch of one or several histories, so that they can be compared. */
export function bounds(histories, t0, t1, meta) {
  const over = (names) => Math.max(0, ...histories.map((h) => largest(h, names, t0, t1)));
  return {
    t0, t1,
    demand: over(["demand", "planned", "capacity"]),
    replicas: over(["ready", "desired", "replicas"]),
    size: over(["podCores"]),
    latency: over(["latency"]),
    backlog: over(["backlog"]),
    latencyTarget: meta.latencyTarget,
    drainWithin: meta.drainWithin,
  };
}

export class Detail {
  constructor(row, onOpen) {
    this.row = row;
    this.history = new History(row);
    this.range = Infinity;
    this.what = el("p", { class: "numbers" });
    this.fight = el("p", { class: "trouble", hidden: true });
    this.now = el("p", { class: "sentence big" });
    this.plots = new Plots({ label: `${row.namespace}/${row.name}`, onOpen: (at) => onOpen(row, `${row.namespace}/${row.name}`, at) });
    this.ranges = RANGES.map(([text, span]) => el("button", {
      type: "button", "aria-pressed": String(span === this.range), onclick: () => this.show(span),
    }, text));
    this.element = el("section", { class: "detail", "aria-label": "Chosen workload" },
      el("div", { class: "detail-head" }, el("h1", {}, `${row.namespace}/${row.name}`),
        el("div", { class: "segments", role: "group", "aria-label": "Time shown" }, this.ranges)),
      this.what, this.fight, this.now, this.plots.element,
      el("p", { class: "hint", id: "keys" }, "Arrow keys walk through time, Enter explains the instant, Escape goes back to the newest."));
  }

  show(span) {
    this.range = span;
    RANGES.forEach(([, s], i) => this.ranges[i].setAttribute("aria-pressed", String(s === span)));
    this.draw();
  }

  update(row) {
    this.row = row;
    setText(this.what, `${row.kind} ${row.target} · ${row.mode} · ${units.shape(row.ready, row.podCores)} ready, ${row.desired} wanted`);
    this.now.replaceChildren(chip(row.reason), " ", row.message);
    this.fight.hidden = !row.contested;
    setText(this.fight, row.fight || "Another autoscaler writes this workload.");
  }

  async refresh() {
    if (await this.history.refresh()) this.draw();
  }

  draw() {
    const { t } = this.history.columns;
    if (!t.length) return;
    const t1 = t[t.length - 1];
    const t0 = Math.min(Math.max(t[0], t1 - this.range), t1 - 60_000);
    this.plots.update(this.history, bounds([this.history], t0, t1, this.row));
  }
}
