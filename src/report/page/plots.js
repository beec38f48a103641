// One figure per controller: demand and capacity, replicas, pod size, latency and reasons over one axis of time.
report.plots = (() => {
  const MEANINGS = ["demand", "held", "size", "short", "blind"];
  const hours = (panel, at) => (at * panel.bucket_s) / 3600;
  const twice = (panel) => panel.demand.map((_, i) => hours(panel, i / 2 + 0.25));
  const once = (panel) => panel.short.map((_, i) => hours(panel, i + 0.5));
  const most = (values) => values.reduce((a, b) => (b > a ? b : a), 0);
  const least = (values) => values.reduce((a, b) => (b < a ? b : a), Infinity);

  /** The same axes for every controller of a workload. */
  const ranges = (workload) => {
    const all = (name) => workload.panels.flatMap((panel) => panel[name]).filter((x) => x !== null);
    const latency = [...all("latency"), workload.objective_s];
    const floor = Math.max(least(latency.filter((x) => x > 0)), 0.001);
    const waits = all("latency").length === 0 && all("backlog").length > 0;
    return {
      work: [0, 1.08 * most([...all("demand"), ...all("capacity")])],
      pods: [0, 1.12 * most(all("replicas"))],
      size: [0, 1.2 * most(all("size"))],
      waits,
      late: waits ? [0, 1.1 * most(all("backlog"))] : [Math.log10(floor * 0.8), Math.log10(most(latency) * 1.4)],
    };
  };

  const reasonsAt = (panel) => {
    const row = [];
    panel.band.forEach(([from, reason], i) => {
      const to = i + 1 < panel.band.length ? panel.band[i + 1][0] : panel.short.length;
      for (let bucket = from; bucket < to; bucket++) row.push(reason);
    });
    return row;
  };

  const traces = (panel, workload, scale, narrow) => {
    const colour = report.colour;
    const [pairs, singles] = [twice(panel), once(panel)];
    const read = (template) => (narrow ? { hoverinfo: "none" } : { hovertemplate: `${template}<extra></extra>` });
    const line = (x, y, yaxis, style, template, more = {}) => ({ x, y, yaxis, mode: "lines", line: { width: 1.4, ...style }, ...read(template), ...more });
    const reasons = reasonsAt(panel);
    const list = [
      line(singles, panel.short.map((x) => Math.max(x, 0)), "y", { color: colour("short"), width: 0.5 }, "missing %{y:.2f} cores",
        { fill: "tozeroy", fillcolor: report.faint("short", 0.55), hoverinfo: "skip", hovertemplate: undefined }),
      line(pairs, panel.demand, "y", { color: colour("demand") }, "demand %{y:.2f} cores"),
      line(pairs, panel.capacity, "y", { color: colour("capacity"), dash: "4px,2px" }, "capacity %{y:.2f} cores"),
      line(pairs, panel.replicas, "y2", { color: colour("capacity"), shape: "hv" }, "%{y} pods"),
      line(pairs, panel.size, "y3", { color: colour("size"), shape: "hv" }, "%{y:.2f} cores per pod", { fill: "tozeroy", fillcolor: report.faint("size", 0.18) }),
    ];
    if (scale.waits) {
      list.push(line(singles, panel.backlog, "y4", { color: colour("held") }, "%{y:.1f} cores of work wait"));
    } else {
      list.push(line(singles, panel.latency, "y4", { color: colour("held") }, "latency %{y:.3f} s · %{customdata} late",
        { customdata: panel.over.map((x) => (x === null ? "none" : `${(100 * x).toFixed(2)} %`)), connectgaps: false }));
    }
    list.push({
      type: "heatmap", x: singles, y: [0], yaxis: "y5", showscale: false, zmin: 0, zmax: MEANINGS.length - 1,
      z: [reasons.map((reason) => MEANINGS.indexOf(report.data.reasons[reason][1]))],
      colorscale: MEANINGS.flatMap((name, i) => [[i / MEANINGS.length, colour(name)], [(i + 1) / MEANINGS.length, colour(name)]]),
      customdata: [reasons.map((reason) => report.data.reasons[reason][0])], ...read("%{customdata}"),
    });
    return list;
  };

  const ROWS = [[0.645, 1], [0.45, 0.585], [0.285, 0.39], [0.105, 0.225], [0, 0.035]];

  const layout = (workload, scale, narrow, range) => {
    const title = (text, row) => ({ text, x: 0, y: ROWS[row][1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 11.5, color: report.colour("ink") } });
    const axis = (row, more) => ({ ...report.axis(), domain: ROWS[row], fixedrange: true, nticks: 4, anchor: "x", ...more });
    const objective = narrow ? "latency, s; dashed: objective" : `latency of ${+(workload.quantile * 100).toFixed(3)} % of requests, s; dashed: objective`;
    const shapes = [{ type: "rect", xref: "x", yref: "paper", x0: 0, x1: workload.warmup_s / 3600, y0: 0.075, y1: 1, fillcolor: report.faint("blind", 0.13), line: { width: 0 }, layer: "below" }];
    if (!scale.waits) {
      shapes.push({ type: "line", xref: "paper", yref: "y4", x0: 0, x1: 1, y0: workload.objective_s, y1: workload.objective_s, line: { color: report.colour("short"), width: 1.2, dash: "dash" } });
    }
    const notScored = { text: "not scored", x: 0, y: 1, xref: "x", yref: "paper", xanchor: "left", yanchor: "top", showarrow: false, font: { size: 10.5 } };
    return {
      ...report.layout(), margin: { l: 44, r: 8, t: 22, b: 34 }, shapes,
      hovermode: narrow ? "x" : "x unified", hoversubplots: "axis", hoverdistance: -1, spikedistance: -1,
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      annotations: [
        title("cores: demand and what the pods carry", 0), title("pods", 1), title("cores per pod", 2),
        title(scale.waits ? "cores of work that wait" : objective, 3), title("reason", 4),
        ...(workload.warmup_s > 0 ? [notScored] : []),
      ],
      xaxis: { ...report.axis(), range, ticksuffix: " h", hoverformat: ".2f", anchor: "y5", showspikes: true, spikemode: "across", spikesnap: "hovered data", spikethickness: 1, spikedash: "solid", spikecolor: report.colour("soft"), nticks: narrow ? 5 : 8 },
      yaxis: axis(0, { range: scale.work }),
      yaxis2: axis(1, { range: scale.pods }),
      yaxis3: axis(2, { range: scale.size, nticks: 3 }),
      yaxis4: axis(3, scale.waits ? { range: scale.late } : { range: scale.late, type: "log", dtick: 1, tickformat: "~g" }),
      yaxis5: axis(4, { showticklabels: false, showgrid: false, ticks: "", showline: false }),
    };
  };

  return { MEANINGS, ranges, traces, layout, reasonsAt };
})();
