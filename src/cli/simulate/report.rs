//! From scores and panels to the report's page.

use super::{
    course,
    jobs::Plan,
    output::{Directory, Seen},
    table::{self, Cells},
};
use crate::{
    report::{self, Cell, Finding, Group, Point, Report, Workload},
    simulate::{
        Scenario,
        summary::{RunScore, Summary},
    },
};

/// A policy to start from: what a bare trace is played with, word for word.
const POLICY: &str = include_str!("../../../simulations/policy.yaml");

/// The whole page.
pub(super) fn page(plan: &Plan<'_>, summary: &Summary, calibration: Vec<(String, String)>, out: &Directory) -> String {
    let kinds = table::KINDS.into_iter().filter(|(tiled, _)| summary.runs.iter().any(|run| run.tiled == *tiled));
    let mut seen = out.seen();
    let controllers = course::all_controllers(plan.scenarios, plan.controllers);
    let fit = (out.panels() / controllers.len().max(1)).max(1);
    let (mut workloads, mut findings) = (Vec::new(), Vec::new());
    let mut jobs = 0;
    for scenario in plan.scenarios {
        jobs +=
            super::controllers_of(scenario, plan.controllers).len() * usize::try_from(plan.seeds).unwrap_or(usize::MAX);
        let later = seen.split_off(&jobs);
        let (workload, found) = workload(scenario, summary, std::mem::replace(&mut seen, later));
        workloads.push(workload);
        findings.extend(found);
    }
    let left_out = workloads.len().saturating_sub(fit);
    workloads.truncate(fit);
    findings.sort_by_key(|finding| finding.kind != "fight");
    report::render(&Report {
        command: command(plan, &controllers),
        groups: kinds.map(|(tiled, kind)| group(&controllers, summary, tiled, kind)).collect(),
        workloads,
        left_out,
        findings,
        assumptions: report::assumptions(&summary.assumptions, &plan.scenarios[0], plan.seeds),
        unknowns: report::unknowns(),
        calibration,
        policy: policy(),
    })
}

/// One load with what was seen of it, and what there is to say about that.
fn workload(scenario: &Scenario, summary: &Summary, seen: Seen) -> (Workload, Vec<Finding>) {
    let (mut panels, mut findings) = (Vec::new(), Vec::new());
    for (panel, watch) in seen.into_values() {
        let scored = summary
            .runs
            .iter()
            .find(|run| run.trace == scenario.load.name && run.controller == panel.controller && run.seed == 1);
        if let Some(run) = scored {
            findings.extend(report::findings(run, &panel, watch));
        }
        panels.push(panel);
    }
    let runs: Vec<&RunScore> = summary.runs.iter().filter(|run| run.trace == scenario.load.name).collect();
    findings.extend(report::worth_of_signals(&runs));
    let workload = Workload {
        name: scenario.load.name.clone(),
        objective: scenario.service.objective,
        quantile: scenario.service.quantile,
        duration: scenario.duration,
        warmup: scenario.warmup,
        panels,
    };
    (workload, findings)
}

fn group(controllers: &[String], summary: &Summary, tiled: bool, kind: &str) -> Group {
    let mean = |name: &String, value: fn(&RunScore) -> Option<f64>| summary.mean(name, tiled, value);
    let points = controllers.iter().filter_map(|name| {
        Some(Point {
            name: name.clone(),
            cost: mean(name, |run| Some(table::per_day(run, run.score.cost_usd.get())))?,
            over: mean(name, |run| run.score.violation_ratio),
            j: mean(name, |run| Some(table::per_day(run, run.score.j.get())))?,
        })
    });
    let scores = cells(table::scores(summary, controllers, tiled));
    let several = table::traces(summary, tiled).len() > 1;
    Group {
        sentence: table::sentence(summary, controllers, tiled, kind),
        heads: scores.0,
        rows: scores.1,
        by_trace: if several { cells(table::by_trace(summary, controllers, tiled)) } else { Default::default() },
        points: points.collect(),
    }
}

/// The terminal's cells without the terminal's marks.
fn cells(cells: Cells) -> (Vec<String>, Vec<Vec<Cell>>) {
    let cell = |text: String| Cell {
        best: text.ends_with(table::BEST),
        text: text.trim_end_matches(table::BEST).trim_end().to_owned(),
    };
    (cells.heads, cells.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect())
}

/// The policy, without its comment, as it is first applied.
fn policy() -> String {
    let lines = POLICY.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n").replace("mode: Auto", "mode: Recommend")).collect()
}

/// What to type to play the same again; without `--jobs` and `--out`, on which nothing depends.
fn command(plan: &Plan<'_>, controllers: &[String]) -> String {
    let names: Vec<&str> = plan.scenarios.iter().map(|scenario| scenario.load.name.as_str()).collect();
    format!(
        "arbiter simulate, loads {}, --controllers {}, --seeds {}",
        names.join(" "),
        controllers.join(","),
        plan.seeds
    )
}
