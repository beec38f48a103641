"use strict";
const report = { data: JSON.parse(document.getElementById("data").textContent), redraw: [] };

/** An element with attributes and children; text is always only text. */
report.el = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

/** The colour of a meaning, as the present theme has it. */
report.colour = (name) => {
  const probe = report.el("span", { style: `color: var(--${name}); display: none` });
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};

/** The same colour, see-through. */
report.faint = (name, share) => report.colour(name).replace("rgb(", "rgba(").replace(")", `, ${share})`);

/** Plotly reads some markup in labels: names are kept from being any. */
report.plain = (text) => text.replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆");

report.layout = () => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: getComputedStyle(document.documentElement).fontFamily, size: 11.5, color: report.colour("soft") },
  hoverlabel: { bgcolor: report.colour("card"), bordercolor: report.colour("soft"), font: { color: report.colour("ink"), size: 12 } },
  showlegend: false,
});

report.axis = () => ({ gridcolor: report.colour("grid"), linecolor: report.colour("rule"), zeroline: false, automargin: false });

report.config = { displaylogo: false, displayModeBar: false, responsive: true, showTips: false };

{
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const dark = () => (chosen ? chosen === "dark" : system.matches);
  const show = () => {
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.textContent = dark() ? "○ light" : "● dark";
    button.setAttribute("aria-label", `Change to ${dark() ? "light" : "dark"} colours`);
    report.redraw.forEach((draw) => draw());
  };
  button.addEventListener("click", () => {
    chosen = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
}
