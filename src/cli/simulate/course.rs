//! What is printed of scenario files: for each its description, the scores, and the course of the run in twelve lines.

use super::{
    jobs::Timing,
    table::{COLUMNS, Cells, Column, marked, table},
};
use crate::simulate::{Scenario, summary::Summary};

/// Columns that only some scenarios have anything to say in.
const RARE: [Column; 2] = [
    Column { head: "EVICTIONS", value: |run| Some(run.score.evictions as f64), write: |x| format!("{x:.1}") },
    Column { head: "LATE ITEMS", value: |run| run.score.backlog_late_ratio, write: |x| format!("{:.2} %", x * 100.0) },
];

/// The whole answer; courses are those of the first seed.
pub(super) fn render(scenarios: &[Scenario], chosen: &[String], summary: &Summary, timings: &[Timing]) -> String {
    let mut text = String::new();
    for scenario in scenarios {
        let name = scenario.load.name.as_str();
        let controllers = super::controllers_of(scenario, chosen);
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{name}: {}\n\n{}", scenario.description, scores(name, controllers, summary)));
        text.push('\n');
        text.push_str(&course(name, controllers, timings));
    }
    text.push_str("\nJ is cost plus 20 times the price of late work; * best of its column. PODS are ready pods and their CPU request, means.\n");
    text
}

/// One line per controller.
fn scores(name: &str, controllers: &[String], summary: &Summary) -> String {
    let mean = |controller: &String, column: &Column| {
        let runs = summary.runs.iter().filter(|run| run.trace == name && run.controller == *controller);
        let (sum, count) = runs.filter_map(column.value).fold((0.0, 0.0), |sum, x| (sum.0 + x, sum.1 + 1.0));
        (count > 0.0).then_some(sum / count)
    };
    let mut heads = vec!["CONTROLLER".to_owned()];
    let mut rows: Vec<Vec<String>> = controllers.iter().map(|controller| vec![controller.clone()]).collect();
    for column in COLUMNS.iter().chain(&RARE) {
        let values: Vec<Option<f64>> = controllers.iter().map(|controller| mean(controller, column)).collect();
        // A column in which nothing happened says nothing.
        let counts = ["OOM KILLS", "EVICTIONS"].contains(&column.head);
        if values.iter().all(|value| value.is_none_or(|value| counts && value == 0.0)) {
            continue;
        }
        heads.push(column.head.to_owned());
        for (row, cell) in rows.iter_mut().zip(marked(controllers, &values, column.write)) {
            row.push(cell);
        }
    }
    table(Cells { heads, rows })
}

/// Demand, and what each controller had for it, in twelve parts.
fn course(name: &str, controllers: &[String], timings: &[Timing]) -> String {
    let of =
        |controller: &String| timings.iter().find(|timing| timing.is(name, controller)).map(|timing| &timing.course);
    let courses: Vec<_> = controllers.iter().filter_map(|controller| Some((controller, of(controller)?))).collect();
    let courses: Vec<_> = courses.into_iter().filter(|(_, course)| !course.is_empty()).collect();
    let Some((_, first)) = courses.first() else { return String::new() };
    let mut heads = vec!["FROM".to_owned(), "CORES".to_owned()];
    heads.extend(courses.iter().flat_map(|(controller, _)| [format!("{controller} PODS"), "LATE".to_owned()]));
    let rows = (0..first.len()).map(|index| {
        let mut row = vec![clock(first[index].from_hours), format!("{:.2}", first[index].demand_cores)];
        for (_, course) in &courses {
            let part = &course[index];
            row.push(format!("{:.1} × {:.2}", part.ready, part.pod_cores));
            row.push(if part.requests > 0.0 {
                format!("{:.2} %", part.late / part.requests * 100.0)
            } else {
                "–".to_owned()
            });
        }
        row
    });
    table(Cells { heads, rows: rows.collect() })
}

/// Hours as `1h30`.
fn clock(hours: f64) -> String {
    let minutes = (hours * 60.0).round();
    let whole = (minutes / 60.0).floor();
    format!("{whole:.0}h{:02.0}", minutes - whole * 60.0)
}

/// Controllers of all scenarios, each once, in their order.
pub(super) fn all_controllers(scenarios: &[Scenario], chosen: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in scenarios.iter().flat_map(|scenario| super::controllers_of(scenario, chosen)) {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}
