// The plane of cost against violations: each controller a point, equal worth a dashed line.
{
  const isOptimum = (name) => name.startsWith("oracle");

  /** Cost along a line of equal J: late work has the same price for everyone, so two runs show it. */
  const priceOfLate = (points) => {
    const late = points.filter((p) => p.over > 0);
    return late.length ? late.reduce((sum, p) => sum + (p.j - p.cost) / p.over, 0) / late.length : null;
  };

  const draw = (element, all) => {
    const points = all.filter((p) => p.over !== null);
    if (!points.length) {
      element.textContent = "No requests were played: there is nothing to be late.";
      return;
    }
    const narrow = element.clientWidth < 480;
    const percent = points.map((p) => 100 * p.over);
    const top = Math.max(...percent);
    const least = Math.min(...percent.filter((x) => x > 0), top);
    // Far apart, only a logarithm shows the small ones; none at all stands at the bottom.
    const log = top > 30 * least;
    const floor = least / 2;
    const y = (value) => (log ? Math.max(value, floor) : value);
    const optima = points.filter((p) => isOptimum(p.name));
    const best = (optima.length ? optima : points).reduce((a, b) => (b.j < a.j ? b : a));
    const costs = points.map((p) => p.cost);
    const [low, high] = [Math.min(...costs, best.cost), Math.max(...costs)];
    const margin = Math.max((high - low) * 0.18, high * 0.06);
    const traces = [];
    const price = priceOfLate(points);
    if (price) {
      const line = Array.from({ length: 80 }, (_, i) => (log ? floor * (top * 1.6 / floor) ** (i / 79) : (top * 1.3 * i) / 79));
      traces.push({
        x: line.map((percentLate) => best.j - (price * percentLate) / 100), y: line, mode: "lines",
        line: { color: report.colour("soft"), dash: "dash", width: 1.2 },
        hovertemplate: `as good as ${report.plain(best.name)}: J $${best.j.toFixed(2)} a day<extra></extra>`,
      });
    }
    const order = [...points].sort((a, b) => a.cost - b.cost);
    const place = (p) => {
      const at = order.indexOf(p);
      if (order.length > 2 && at === order.length - 1) return "middle left";
      return ["top center", "bottom center"][at % 2];
    };
    traces.push({
      x: points.map((p) => p.cost), y: points.map((p) => y(100 * p.over)), mode: "markers+text",
      text: points.map((p) => report.plain(p.name)), textposition: points.map(place), cliponaxis: false,
      textfont: { color: report.colour("ink"), size: narrow ? 11 : 12 },
      marker: {
        size: points.map((p) => (p.name === "arbiter" ? 14 : 10)),
        symbol: points.map((p) => (isOptimum(p.name) ? "star" : p.name === "arbiter" ? "diamond" : "circle")),
        color: points.map((p) => report.colour(p.name === "arbiter" ? "capacity" : isOptimum(p.name) ? "size" : "demand")),
        line: { color: report.colour("card"), width: 1.5 },
      },
      customdata: points.map((p) => [100 * p.over, p.j]),
      hovertemplate: "%{text}<br>$%{x:.2f} a day<br>%{customdata[0]:.3f} % of requests late<br>J $%{customdata[1]:.2f} a day<extra></extra>",
    });
    const layout = {
      ...report.layout(), hovermode: "closest", dragmode: false, margin: { l: 66, r: 18, t: 14, b: 44 },
      xaxis: { ...report.axis(), title: { text: "cost a day", standoff: 8 }, range: [low - margin, high + margin], tickprefix: "$" },
      yaxis: {
        ...report.axis(), title: { text: "requests late", standoff: 8 }, type: log ? "log" : "linear", ticksuffix: " %", nticks: 6,
        ...(log ? { range: [Math.log10(floor * 0.7), Math.log10(top * 2.2)], dtick: 1 } : { range: [-top * 0.12, top * 1.28] }),
      },
    };
    Plotly.react(element, traces, layout, report.config);
  };

  report.redraw.push(() =>
    document.querySelectorAll(".plane").forEach((element) => draw(element, report.data.groups[element.dataset.group])));
}
