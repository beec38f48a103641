//! The table for people: one sentence first, one line per controller, the best value of each column marked.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use crate::simulate::{
    oracle::Oracle,
    summary::{RunScore, Summary},
};

/// Marks the best value of a column.
pub(super) const BEST: &str = "*";

/// A column: its head, the number it shows (the smaller the better), and how it is written.
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) value: fn(&RunScore) -> Option<f64>,
    pub(super) write: fn(f64) -> String,
}

/// Only there when an oracle was among the controllers; means of ratios are geometric.
const RATIOS: [Column; 3] = [
    Column { head: "J/ORACLE-N", value: |run| run.j_over_oracle_n, write: |x| format!("{x:.3}") },
    Column { head: "J/ORACLE", value: |run| run.j_over_oracle, write: |x| format!("{x:.3}") },
    Column { head: "J/ORACLE-LEAD", value: |run| run.j_over_oracle_lead, write: |x| format!("{x:.3}") },
];

pub(super) const COLUMNS: [Column; 8] = [
    Column { head: "J $/DAY", value: |run| Some(per_day(run, run.score.j.get())), write: |x| format!("{x:.2}") },
    Column { head: "$/DAY", value: |run| Some(per_day(run, run.score.cost_usd.get())), write: |x| format!("{x:.2}") },
    Column { head: "OVER SLO", value: |run| run.score.violation_ratio, write: |x| format!("{:.2} %", x * 100.0) },
    Column { head: "REVERSALS/H", value: |run| Some(run.score.reversals_per_hour), write: |x| format!("{x:.2}") },
    Column { head: "STARTS/DAY", value: |run| Some(run.score.pod_starts_per_day), write: |x| format!("{x:.1}") },
    Column { head: "RESIZES/POD/DAY", value: |run| Some(run.score.resizes_per_pod_day), write: |x| format!("{x:.1}") },
    Column { head: "OOM KILLS", value: |run| Some(run.score.oom_kills as f64), write: |x| format!("{x:.1}") },
    Column { head: "PODS", value: |run| Some(run.score.mean_replicas), write: |x| format!("{x:.1}") },
];

pub(super) fn per_day(run: &RunScore, amount: f64) -> f64 {
    amount * 24.0 / run.score.hours
}

/// Kinds of traces that are averaged apart.
pub(super) const KINDS: [(bool, &str); 2] = [(false, "three days and more"), (true, "less than three days, repeated")];

/// Heads and cells of a table; the first cell of a row is its name.
pub(super) struct Cells {
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// The whole answer.
pub(super) fn render(summary: &Summary, controllers: &[String], out: Option<&Path>) -> String {
    let mut text = String::new();
    for (tiled, kind) in KINDS.into_iter().filter(|(tiled, _)| summary.runs.iter().any(|run| run.tiled == *tiled)) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&sentence(summary, controllers, tiled, kind));
        text.push_str("\n\n");
        text.push_str(&table(scores(summary, controllers, tiled)));
        if traces(summary, tiled).len() > 1 {
            text.push_str("\nJ in $/day and requests over the SLO, by trace\n\n");
            text.push_str(&table(by_trace(summary, controllers, tiled)));
        }
    }
    text.push_str(
        "\nJ is cost plus 20 times the price of late work; means over seeds and traces; * best of its column.\n",
    );
    if let Some(out) = out {
        let names = "report.html, summary.json, timings.json, timeline.csv, decisions.jsonl";
        text.extend(["Written to ", &out.display().to_string(), ": ", names, ".\n"]);
    }
    text
}

/// Who won, by how much, at what risk.
pub(super) fn sentence(summary: &Summary, controllers: &[String], tiled: bool, kind: &str) -> String {
    let j = |name: &String| summary.mean(name, tiled, COLUMNS[0].value);
    let compared = controllers.iter().filter(|name| competes(name) || controllers.len() == 1);
    let mut ranked: Vec<(&String, f64)> = compared.filter_map(|name| Some((name, j(name)?))).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    let late = |name: &String| summary.mean(name, tiled, |run| run.score.violation_ratio).unwrap_or(0.0) * 100.0;
    let cost = |name: &String| summary.mean(name, tiled, COLUMNS[1].value).unwrap_or(0.0);
    let traces = traces(summary, tiled).len();
    let over = format!("over {traces} {} of {kind}", if traces == 1 { "trace" } else { "traces" });
    match ranked.as_slice() {
        [] => String::new(),
        [(only, _)] => {
            format!("{only}: ${:.2} a day with {:.2} % of requests over the SLO, {over}.", cost(only), late(only))
        }
        [(best, best_j), (second, second_j), ..] => format!(
            "{best} has the lowest J, {:.0} % below {second}: ${:.2} against ${:.2} a day with {:.2} % against {:.2} % of \
             requests over the SLO, {over}.",
            (1.0 - best_j / second_j) * 100.0,
            cost(best),
            cost(second),
            late(best),
            late(second),
        ),
    }
}

/// One line per controller.
pub(super) fn scores(summary: &Summary, controllers: &[String], tiled: bool) -> Cells {
    let mut rows: Vec<Vec<String>> = controllers.iter().map(|name| vec![name.clone()]).collect();
    let mut heads = vec!["CONTROLLER"];
    let ratios = RATIOS.iter().filter(|ratio| summary.runs.iter().any(|run| (ratio.value)(run).is_some()));
    let ratios = ratios.map(|column| (column, true));
    for (column, geometric) in COLUMNS.iter().map(|column| (column, false)).chain(ratios) {
        let mean = |name: &String| {
            if geometric {
                summary.geometric_mean(name, tiled, column.value)
            } else {
                summary.mean(name, tiled, column.value)
            }
        };
        let values: Vec<Option<f64>> = controllers.iter().map(mean).collect();
        heads.push(column.head);
        for (row, cell) in rows.iter_mut().zip(marked(controllers, &values, column.write)) {
            row.push(cell);
        }
    }
    Cells { heads: heads.into_iter().map(ToOwned::to_owned).collect(), rows }
}

/// Whether a controller is one that could be run: an oracle sees the future, and wins.
fn competes(name: &str) -> bool {
    Oracle::named(name).is_none()
}

/// One line per trace.
pub(super) fn by_trace(summary: &Summary, controllers: &[String], tiled: bool) -> Cells {
    let traces = traces(summary, tiled);
    let rows = traces.iter().map(|trace| {
        let mean = |name: &String, value: fn(&RunScore) -> Option<f64>| {
            let runs = summary.runs.iter().filter(|run| run.trace == **trace && run.controller == *name);
            let (sum, count) = runs.filter_map(value).fold((0.0, 0.0), |sum, x| (sum.0 + x, sum.1 + 1.0));
            (count > 0.0).then_some(sum / count)
        };
        let of = |column: &Column| {
            let values: Vec<Option<f64>> = controllers.iter().map(|name| mean(name, column.value)).collect();
            marked(controllers, &values, column.write)
        };
        let mut row = vec![(*trace).to_owned()];
        row.extend(of(&COLUMNS[0]).into_iter().zip(of(&COLUMNS[2])).flat_map(|(j, late)| [j, late]));
        row
    });
    let heads = std::iter::once("TRACE").chain(controllers.iter().flat_map(|name| [name.as_str(), "OVER SLO"]));
    Cells { heads: heads.map(ToOwned::to_owned).collect(), rows: rows.collect() }
}

/// Cells of a column, the best one of those that compete marked; nothing is marked when they are equal.
pub(super) fn marked(controllers: &[String], values: &[Option<f64>], write: fn(f64) -> String) -> Vec<String> {
    let compete: Vec<bool> = controllers.iter().map(|name| competes(name)).collect();
    let competing = || values.iter().zip(&compete).filter(|(_, compete)| **compete).map(|(value, _)| *value);
    let best = competing().flatten().min_by(f64::total_cmp).map(write);
    let alike = competing().all(|value| value.map(write) == best);
    values
        .iter()
        .zip(&compete)
        .map(|(value, compete)| match value.map(write) {
            None => "–".to_owned(),
            Some(text) if !alike && *compete && Some(&text) == best.as_ref() => format!("{text}{BEST}"),
            Some(text) => format!("{text} "),
        })
        .collect()
}

pub(super) fn table(cells: Cells) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(cells.heads);
    for row in cells.rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt() + "\n"
}

/// Names of the traces, in the order of the runs.
pub(super) fn traces(summary: &Summary, tiled: bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in summary.runs.iter().filter(|run| run.tiled == tiled) {
        if !names.contains(&run.trace.as_str()) {
            names.push(&run.trace);
        }
    }
    names
}
