//! The scores as rows of a document: one per trace, means below, J against the oracle.

use crate::simulate::{
    oracle::Oracle,
    summary::{RunScore, Summary},
};

/// A number of a run.
type Number = fn(&RunScore) -> Option<f64>;
/// How it is written.
type Write = fn(f64) -> String;

/// What every cell shows, in this order.
const CELL: [(Number, Write); 3] = [
    (|run| run.j_over_oracle, |x| format!("{x:.2}")),
    (
        |run| run.score.violation_ratio.or(run.score.backlog_late_ratio).map(|share| share * 100.0),
        |x| format!("{x:.2} %"),
    ),
    (|run| Some(run.score.reversals_per_hour), |x| format!("{x:.1}")),
];

/// The tables: traces of three days and more, then those that were repeated, each with the controllers side by side.
pub(super) fn render(summary: &Summary, controllers: &[String]) -> String {
    let mut text = String::new();
    for (tiled, kind) in [(false, "Traces of three days and more"), (true, "Shorter traces, repeated to three days")] {
        let traces = traces(summary, tiled);
        if traces.is_empty() {
            continue;
        }
        text.extend([
            "## ",
            kind,
            "\n\n",
            "J/oracle · requests or items late · reversals per hour; an oracle's own J, and a queue's, in $ a day.\n\n",
        ]);
        text.push_str(&by_trace(summary, controllers, tiled, &traces));
        text.push('\n');
        text.push_str(&means(summary, controllers, tiled));
        text.push('\n');
    }
    text
}

fn by_trace(summary: &Summary, controllers: &[String], tiled: bool, traces: &[&str]) -> String {
    let mut text = head(std::iter::once("trace").chain(controllers.iter().map(String::as_str)));
    for trace in traces {
        let cells = controllers.iter().map(|name| {
            let runs = || summary.runs.iter().filter(|run| run.trace == *trace && run.controller == *name);
            let dollars = || mean(runs().map(|run| Some(per_day(run, run.score.j.get()))));
            let dollars = || dollars().map_or_else(nothing, |x| format!("${x:.2}"));
            let others = CELL.iter().enumerate().map(|(index, (number, write))| match mean(runs().map(number)) {
                // An oracle's own J says what the others are multiples of; without one there are only dollars.
                Some(_) if index == 0 && Oracle::named(name).is_some() => dollars(),
                Some(value) => write(value),
                None if index == 0 => dollars(),
                None => nothing(),
            });
            others.collect::<Vec<_>>().join(" · ")
        });
        text.push_str(&row(std::iter::once((*trace).to_owned()).chain(cells)));
    }
    text.push_str(&row(std::iter::once("**geometric mean of J/oracle**".to_owned()).chain(controllers.iter().map(
        |name| {
            summary.geometric_mean(name, tiled, |run| run.j_over_oracle).map_or_else(nothing, |x| format!("**{x:.3}**"))
        },
    ))));
    text
}

/// One row per controller.
fn means(summary: &Summary, controllers: &[String], tiled: bool) -> String {
    let columns: [(&str, Number, Write); 8] = [
        ("$/day", |run| Some(per_day(run, run.score.cost_usd.get())), |x| format!("{x:.2}")),
        ("J $/day", |run| Some(per_day(run, run.score.j.get())), |x| format!("{x:.2}")),
        ("late", CELL[1].0, CELL[1].1),
        ("reversals/h", CELL[2].0, |x| format!("{x:.2}")),
        ("pod starts/day", |run| Some(run.score.pod_starts_per_day), |x| format!("{x:.0}")),
        ("resizes/pod/day", |run| Some(run.score.resizes_per_pod_day), |x| format!("{x:.0}")),
        ("evictions", |run| Some(run.score.evictions as f64), |x| format!("{x:.1}")),
        ("OOM kills", |run| Some(run.score.oom_kills as f64), |x| format!("{x:.1}")),
    ];
    let ratios: [(&str, Number); 3] = [
        ("J/oracle-n", |run| run.j_over_oracle_n),
        ("J/oracle", |run| run.j_over_oracle),
        ("J/oracle-lead", |run| run.j_over_oracle_lead),
    ];
    let heads = columns.iter().map(|column| column.0).chain(ratios.iter().map(|ratio| ratio.0));
    let mut text = "Means over traces and seeds; ratios geometric.\n\n".to_owned();
    text.push_str(&head(std::iter::once("controller").chain(heads)));
    for name in controllers {
        let plain =
            columns.iter().map(|(_, number, write)| summary.mean(name, tiled, number).map_or_else(nothing, write));
        let ratio = |(_, number): &(&str, Number)| {
            summary.geometric_mean(name, tiled, number).map_or_else(nothing, |x| format!("{x:.3}"))
        };
        text.push_str(&row(std::iter::once(name.clone()).chain(plain).chain(ratios.iter().map(ratio))));
    }
    text
}

fn per_day(run: &RunScore, amount: f64) -> f64 {
    amount * 24.0 / run.score.hours
}

/// The mean; none when one of them is undefined or there is none.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Option<Vec<f64>> = values.collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

fn nothing() -> String {
    "–".to_owned()
}

fn head<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.map(str::to_owned).collect();
    let rule = "|---".repeat(cells.len()) + "|\n";
    row(cells.into_iter()) + &rule
}

fn row(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Names of the traces, in the order of the runs.
fn traces(summary: &Summary, tiled: bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in summary.runs.iter().filter(|run| run.tiled == tiled) {
        if !names.contains(&run.trace.as_str()) {
            names.push(&run.trace);
        }
    }
    names
}
