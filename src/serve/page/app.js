// The page: one line of state, then either the demo's comparison or the list of workloads and the chosen one.
import { Compare } from "./compare.js";
import { Detail } from "./detail.js";
import { el, setText } from "./dom.js";
import { openExplain } from "./explain.js";
import { List } from "./list.js";
import { get } from "./store.js";
import { initTheme } from "./theme.js";
import * as units from "./units.js";

const $ = (id) => document.getElementById(id);
/** A controller decides every 15 s; the demo is a moving picture. */
const PERIOD = { run: 2000, demo: 250 };

const dialog = $("explain");
let mode = null;
let view = null;
let period = PERIOD.demo;

function trouble(error) {
  $("trouble").hidden = !error;
  if (error) setText($("trouble"), error.status ? error.message : "The server does not answer; the page shows what it knew and asks again.");
}

async function explain(policy, name, at) {
  try {
    await openExplain(dialog, policy, name, at);
  } catch (error) {
    trouble(error);
  }
}

function stateLine(state) {
  const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
  const parts = [
    state.mode === "demo" ? "demo, no cluster" : state.leader === false ? `standing by${state.holder ? `, ${state.holder} leads` : ""}` : state.leader ? "leading" : "no leader yet",
    plural(state.policies, "policy", "policies"),
    plural(state.fights, "fight", "fights"),
    plural(state.staleSignals, "stale signal", "stale signals"),
  ];
  if (state.tickMs !== null && state.tickMs !== undefined) parts.push(`last tick ${units.number(state.tickMs)} ms`);
  const alarming = [state.mode === "run" && state.leader === null, false, state.fights > 0, state.staleSignals > 0, false];
  $("state").replaceChildren(...parts.map((text, i) => el("span", { class: alarming[i] ? "alarming" : null }, alarming[i] ? `▲ ${text}` : text)));
}

/** The list and the chosen workload. */
class Workloads {
  constructor() {
    this.detail = null;
    this.place = el("div", { class: "place" }, el("p", { class: "hint" }, "Choose a workload."));
    this.list = new List((row) => {
      location.replace(`#/w/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}`);
    });
    this.element = el("div", { class: "workloads" }, this.list.element, this.place);
  }

  async refresh() {
    const { policies } = await get("/api/v1/policies");
    const [, , namespace, name] = location.hash.split("/").map(decodeURIComponent);
    const row = policies.find((p) => p.namespace === namespace && p.name === name) || policies[0];
    this.list.chosen = row ? `${row.namespace}/${row.name}` : null;
    this.list.update(policies);
    if (!row) return;
    if (!this.detail || this.detail.row.namespace !== row.namespace || this.detail.row.name !== row.name) {
      this.detail = new Detail(row, explain);
      this.place.replaceChildren(this.detail.element);
    }
    this.detail.update(row);
    await this.detail.refresh();
  }
}

function wanted() {
  if (mode === "demo" && !location.hash.startsWith("#/w")) return "compare";
  return "workloads";
}

function links() {
  if (mode !== "demo") return;
  const now = wanted();
  $("views").replaceChildren(...[["#/", "compare", "Side by side"], ["#/w", "workloads", "Workloads"]].map(([href, name, text]) =>
    el("a", { href, "aria-current": name === now ? "page" : null }, text)));
}

function show() {
  const name = wanted();
  links();
  if (view && view.name === name) return;
  view = name === "compare" ? new Compare(explain, trouble) : new Workloads();
  view.name = name;
  $("main").className = name;
  $("main").replaceChildren(view.element);
}

async function beat() {
  try {
    const state = await get("/api/v1/state");
    if (mode !== state.mode) {
      mode = state.mode;
      units.setZone(mode === "demo" ? "utc" : "local");
      document.title = mode === "demo" ? "arbiter demo" : "arbiter";
      period = PERIOD[mode];
    }
    stateLine(state);
    show();
    await view.refresh();
    trouble(null);
  } catch (error) {
    trouble(error);
  }
  setTimeout(beat, document.hidden ? 2000 : period);
}

initTheme($("theme"));
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
window.addEventListener("hashchange", async () => {
  if (mode === null) return;
  show();
  try {
    await view.refresh();
  } catch (error) {
    trouble(error);
  }
});
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing && $("filter")) {
    event.preventDefault();
    $("filter").focus();
  }
});
beat();
