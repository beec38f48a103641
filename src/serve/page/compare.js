// The demo: the same recorded day under a rival and under arbiter, on the same axes, counting as it goes.
import { bounds } from "./detail.js";
import { el, setText, table } from "./dom.js";
import { Plots } from "./plots.js";
import { History, get, post } from "./store.js";
import * as units from "./units.js";

const FASTER = [0.25, 1, 2, 4, 20];

function counter(name) {
  const value = el("span", { class: "value" });
  const against = el("span", { class: "against" });
  return { value, against, element: el("div", { class: "counter" }, el("span", { class: "label" }, name), value, against) };
}

/** `23 % less`, or nothing where there is nothing to compare with. */
function against(own, other) {
  if (!(other > 0)) return "";
  const change = own / other - 1;
  if (Math.abs(change) < 0.005) return "the same";
  if (change >= 1) return `▲ ${units.number(own / other)} times`;
  return change < 0 ? `▼ ${Math.round(-change * 100)} % less` : `▲ ${Math.round(change * 100)} % more`;
}

const limit = (status) => (status.latencyTarget ? units.seconds(status.latencyTarget) : "the objective");

class Side {
  constructor(side, limit, onCursor, onOpen) {
    this.history = new History(side);
    this.cost = counter("paid");
    this.pods = counter("pods started");
    this.over = counter(`requests over ${limit}`);
    this.head = el("section", { class: "side-head", "aria-label": `${side.title}, counted` },
      el("h2", {}, side.title), el("p", { class: "subtitle" }, side.subtitle),
      el("div", { class: "counters" }, [this.cost, this.pods, this.over].map((c) => c.element)));
    this.plots = new Plots({ label: side.title, onCursor, onOpen: (at) => onOpen(side, side.title, at) });
    this.body = el("section", { class: "side-body", "aria-label": `${side.title}, plots` },
      el("h3", { class: "narrow" }, side.title), this.plots.element);
  }

  count(side, rival) {
    setText(this.cost.value, units.dollars(side.cost));
    setText(this.pods.value, units.count(side.podsStarted));
    setText(this.over.value, units.percent(side.requests ? side.requestsOverSlo / side.requests : 0));
    setText(this.cost.against, rival ? against(side.cost, rival.cost) : "");
    setText(this.pods.against, rival ? against(side.podsStarted, rival.podsStarted) : "");
    setText(this.over.against, rival ? against(side.requestsOverSlo, rival.requestsOverSlo) : `${units.count(side.requestsOverSlo)} requests`);
  }
}

export class Compare {
  constructor(onOpen, onTrouble) {
    this.onOpen = onOpen;
    this.onTrouble = onTrouble;
    this.sides = null;
    this.status = null;
    this.pause = el("button", { type: "button", class: "main", onclick: () => this.ask("pause", { paused: !this.status.paused }) });
    this.speeds = el("div", { class: "segments", role: "group", "aria-label": "Speed" });
    this.clock = el("span", { class: "when" });
    this.progress = el("progress", { max: 1, value: 0, "aria-label": "Part of the day that has been played" });
    this.summary = el("section", { class: "summary", "aria-label": "Summary", role: "status" });
    this.grid = el("div", { class: "sides" });
    this.source = el("p", { class: "hint" });
    this.element = el("div", { class: "compare" },
      el("div", { class: "controls" }, this.pause, this.speeds, this.clock, this.progress),
      this.summary, this.grid,
      el("p", { class: "hint", id: "keys" }, "Point at an instant, or walk there with the arrow keys: the sentence is the decision. Click or Enter: the table behind it."),
      this.source);
  }

  async ask(what, body) {
    try {
      this.apply(await post(`/api/v1/demo/${what}`, body));
    } catch (error) {
      this.onTrouble(error);
    }
  }

  cursor(ms) {
    for (const side of this.sides) side.plots.setCursor(ms);
  }

  build(status) {
    this.sides = status.sides.map((side) => new Side(side, limit(status), (ms) => this.cursor(ms), this.onOpen));
    this.grid.replaceChildren(...this.sides.map((s) => s.head), ...this.sides.map((s) => s.body));
    this.speeds.replaceChildren(...FASTER.map((times) => el("button", {
      type: "button", "aria-pressed": "false", title: `The day in ${units.seconds((status.end - status.start) / 1000 / (status.usualSpeed * times))}`,
      onclick: () => this.ask("speed", { speed: status.usualSpeed * times }),
    }, `${times === 0.25 ? "¼" : times}×`)));
    setText(this.source, status.source);
  }

  apply(status) {
    if (!this.sides) this.build(status);
    this.status = status;
    setText(this.pause, status.finished ? "Day is over" : status.paused ? "▶ Play" : "❚❚ Pause");
    this.pause.disabled = status.finished;
    [...this.speeds.children].forEach((button, i) => button.setAttribute("aria-pressed", String(Math.abs(status.speed / status.usualSpeed / FASTER[i] - 1) < 0.01)));
    const done = (status.at - status.start) / (status.end - status.start);
    this.progress.value = done;
    setText(this.clock, `${units.hours(status.at - status.start)} of ${units.hours(status.end - status.start)}`);
    status.sides.forEach((side, i) => this.sides[i].count(side, i > 0 ? status.sides[0] : null));
    if (status.finished && !this.summary.firstChild) this.sum(status);
  }

  sum(status) {
    const cells = (name, show, of) => ({ cells: [name, ...status.sides.map((side) => show(of(side)))] });
    this.summary.replaceChildren(
      el("p", { class: "verdict" }, status.sentence),
      table("The whole day", ["", ...status.sides.map((s) => s.title)], [
        cells("Paid", units.dollars, (s) => s.cost),
        cells(`Requests over ${limit(status)}`, units.percent, (s) => (s.requests ? s.requestsOverSlo / s.requests : null)),
        cells("Pods started", units.count, (s) => s.podsStarted),
        cells("Reversals per hour", units.number, (s) => s.score.reversals_per_hour),
        cells("Resizes per pod and day", units.number, (s) => s.score.resizes_per_pod_day),
        cells("Replicas, mean", units.number, (s) => s.score.mean_replicas),
        cells("CPU requested, mean", units.cores, (s) => s.score.mean_cpu_request_cores),
      ]));
  }

  async refresh() {
    this.apply(await get("/api/v1/demo"));
    const news = await Promise.all(this.sides.map((side) => side.history.refresh()));
    if (!news.some(Boolean)) return;
    const { start, end, latencyTarget } = this.status;
    const domain = bounds(this.sides.map((s) => s.history), start, end, { latencyTarget });
    for (const side of this.sides) side.plots.update(side.history, domain);
  }
}
