// Choosing what is shown, moving through time together, and the words under each figure.
{
  const { data, el, plots } = report;
  const byId = (id) => document.getElementById(id);
  const OPTIMUM = /^oracle/;
  let workload = data.workloads[0];
  let shown = [];
  let figures = [];
  let range = null;
  let quiet = false;
  let moment = null;

  const whole = () => [0, workload.duration_s / 3600];
  const clock = (hour) => {
    const seconds = Math.round(hour * 3600);
    const two = (x) => String(Math.floor(x)).padStart(2, "0");
    return `day ${Math.floor(seconds / 86400) + 1}, ${two((seconds % 86400) / 3600)}:${two((seconds % 3600) / 60)}`;
  };
  const last = (list, holds) => {
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(list[middle])) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  const bucketAt = (panel, hour) => Math.max(0, Math.min(panel.short.length - 1, Math.floor((hour * 3600) / panel.bucket_s)));

  /** The words of one moment. */
  const explain = (figure, hour, name = "") => {
    const { panel, why } = figure;
    const bucket = bucketAt(panel, hour);
    const record = panel.records[last(panel.records, (r) => r.at <= (bucket + 1) * panel.bucket_s)];
    const band = panel.band[last(panel.band, ([from]) => from <= bucket)];
    const [reason, meaning] = data.reasons[record ? record.why : band ? band[1] : 0];
    const between = (series, unit) => {
      const [a, b] = [series[2 * bucket], series[2 * bucket + 1]].sort((x, y) => x - y);
      return a === b ? `${a} ${unit}` : `${a}–${b} ${unit}`;
    };
    const late = panel.over[bucket];
    const numbers = [
      `demand ${between(panel.demand, "cores")}`, `capacity ${between(panel.capacity, "cores")}`,
      `${between(panel.replicas, "pods")} of ${between(panel.size, "cores")}`,
      ...(panel.latency[bucket] === null ? [] : [`latency ${panel.latency[bucket]} s`]),
      ...(late === null ? [] : [`${(100 * late).toFixed(2)} % late`]),
    ];
    why.replaceChildren(
      el("p", {}, el("b", {}, name + clock(hour)), " ", el("span", { class: "numbers" }, numbers.join(" · "))),
      el("p", {}, el("span", { class: `chip ${meaning}` }, reason), record ? record.says : "",
        record ? el("span", { class: "numbers" }, ` (decided ${clock(record.at / 3600)})`) : ""),
      ...(record && record.weighed ? [weighed(record.weighed)] : []),
    );
  };

  const weighed = (rows) => {
    const money = (x) => `$${x.toFixed(2)}`;
    const cells = (r) => [`${r[0]} × ${r[1]} cores`, r[2].toFixed(1), r[3].toFixed(1), money(r[4]), money(r[5]), money(r[4] + r[5] + r[6])];
    const head = ["choice", "carries", "missing", "pods /h", "shortage /h", "total /h"];
    return el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, ...head.map((text) => el("th", {}, text)))),
      el("tbody", {}, ...rows.map((r) => {
        const [choice, ...rest] = cells(r);
        return el("tr", r[7] ? { class: "chosen" } : {}, el("th", {}, `${r[7] ? "▸ " : ""}${choice}`), ...rest.map((text) => el("td", {}, text)));
      }))));
  };

  const look = (hour, from) => {
    moment = hour;
    figures.forEach((figure) => {
      explain(figure, hour);
      if (figure.stack !== from) Plotly.Fx.hover(figure.stack, { xval: hour }, ["xy"]);
    });
  };

  /** Lets one figure's movement reach the others without an echo. */
  const together = (act) => {
    if (quiet) return;
    quiet = true;
    try {
      act();
    } finally {
      quiet = false;
    }
  };

  const zoom = (to) => {
    range = to;
    figures.forEach(({ stack }) => Plotly.relayout(stack, { "xaxis.range": to || whole() }));
    segments();
  };

  /** Middle of the stretch in which the shown controllers were worst. */
  const worst = (length) => {
    const panels = figures.map(({ panel }) => panel);
    if (!panels.length) return null;
    const first = Math.floor(workload.warmup_s / panels[0].bucket_s);
    const pain = panels[0].short.map((_, i) => (i < first ? 0 : panels.reduce((sum, p) => sum + (p.over[i] || 0) + 0.01 * Math.max(p.short[i] || 0, 0), 0)));
    const width = Math.max(1, Math.round((length * 3600) / panels[0].bucket_s));
    let [sum, best, at] = [0, -1, first];
    pain.forEach((x, i) => {
      sum += x - (i >= width ? pain[i - width] : 0);
      if (sum > best) [best, at] = [sum, i];
    });
    const middle = ((at + 1 - width / 2) * panels[0].bucket_s) / 3600;
    const start = Math.max(0, Math.min(middle - length / 2, whole()[1] - length));
    return [start, start + length];
  };

  const worstMoment = () => {
    const stretch = worst(figures.length ? figures[0].panel.bucket_s / 3600 : 1);
    return stretch ? (stretch[0] + stretch[1]) / 2 : 0;
  };

  const segments = () => {
    const choices = [["All", null], ["Worst day", 24], ["Worst hour", 1]].filter(([, length]) => !length || length * 3600 < workload.duration_s);
    byId("zoom").replaceChildren(...choices.map(([name, length]) => {
      const width = range ? range[1] - range[0] : null;
      const button = el("button", { type: "button", "aria-pressed": String(length ? width !== null && Math.abs(width - length) < 1e-6 : !range) }, name);
      button.addEventListener("click", () => together(() => {
        const to = length && worst(length);
        zoom(to);
        if (to) look((to[0] + to[1]) / 2);
      }));
      return button;
    }));
  };

  const build = (panel) => {
    const stack = el("div", { class: "stack", tabindex: "0", role: "group", "aria-label": `Plots of ${panel.controller}; arrow keys move through time` });
    const why = el("figcaption", { class: "why" });
    const figure = { panel, stack, why };
    byId("figures").append(el("figure", {}, el("h3", {}, panel.controller), stack, why));
    return figure;
  };

  const listen = ({ stack, panel }) => {
    stack.on("plotly_hover", (event) => together(() => look(event.xvals ? event.xvals[0] : event.points[0].x, stack)));
    stack.on("plotly_relayout", (event) => together(() => {
      if (event["xaxis.autorange"]) zoom(null);
      else if ("xaxis.range[0]" in event) zoom([event["xaxis.range[0]"], event["xaxis.range[1]"]]);
    }));
    stack.on("plotly_doubleclick", () => together(() => zoom(null)));
    stack.addEventListener("keydown", (event) => {
      const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      const [from, to] = range || whole();
      const step = Math.max(panel.bucket_s / 3600, (to - from) / 200);
      together(() => look(Math.max(from, Math.min(to, (moment ?? from) + direction * step))));
    });
  };

  const draw = () => {
    const scale = plots.ranges(workload);
    figures.forEach(({ stack, panel }) => {
      const narrow = stack.clientWidth < 480;
      Plotly.react(stack, plots.traces(panel, workload, scale, narrow), plots.layout(workload, scale, narrow, range || whole()), report.config);
    });
  };

  const show = () => {
    figures.forEach(({ stack }) => Plotly.purge(stack));
    byId("figures").replaceChildren();
    figures = workload.panels.filter((panel) => shown.includes(panel.controller)).map(build);
    draw();
    figures.forEach(listen);
    segments();
    moment = worstMoment();
    figures.forEach((figure) => explain(figure, moment, "worst moment: "));
    byId("controllers").replaceChildren(...(workload.panels.length < 2 ? [] : workload.panels.map(({ controller }) => {
      const button = el("button", { type: "button", "aria-pressed": String(shown.includes(controller)) }, controller);
      button.addEventListener("click", () => {
        shown = shown.includes(controller) ? shown.filter((name) => name !== controller) : [...shown, controller];
        show();
      });
      return button;
    })));
  };

  const choose = (index) => {
    workload = data.workloads[index];
    range = null;
    const names = workload.panels.map((panel) => panel.controller);
    const kept = shown.filter((name) => names.includes(name));
    const today = names.find((name) => name !== "arbiter" && !OPTIMUM.test(name));
    shown = kept.length ? kept : names.filter((name) => name === "arbiter" || name === today);
    if (!shown.length) shown = names.slice(0, 2);
    show();
  };

  const key = () => {
    const mark = (kind, name, text) => el("span", {}, el("i", { class: `${kind} ${name}` }), text);
    byId("key").replaceChildren(
      mark("", "demand", "demand"), mark("dashed", "capacity", "capacity of ready pods"), mark("block", "short", "missing"),
      el("span", {}, "reasons:"), mark("block", "demand", "follows demand"), mark("block", "held", "holds"), mark("block", "size", "changes size"),
      mark("block", "short", "short or limited"), mark("block", "blind", "waits for data"));
  };

  report.redraw.push(draw);
  if (workload) {
    key();
    byId("pick").replaceChildren(...data.workloads.map((one, index) => el("option", { value: String(index) }, one.name)));
    byId("pick-label").hidden = data.workloads.length < 2;
    byId("pick").addEventListener("change", (event) => choose(Number(event.target.value)));
    choose(0);
  }
  report.redraw.forEach((redraw) => redraw());
  document.documentElement.dataset.ready = "yes";
}
