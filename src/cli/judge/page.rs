//! The report: what was measured against what must be reached, then load by load.

use super::{
    cases::{self, QUEUE, TRIMS, USUAL, WAYS},
    halves::Half,
    measures::{ARBITER, HINDSIGHT, HPA, HPA_VPA, Measure, Measured, ORACLE, number, ratio},
    results::{At, geomean, late, mean},
};

/// The rows of a table.
type Rows = Vec<Vec<String>>;

/// The whole page; `how` says how it was made.
pub(super) fn render(measured: &Measured<'_>, how: &str) -> String {
    let measures = measured.all();
    let mut text = format!("# The decision model, measured\n\n{how}\n\n## Measures\n\n");
    text.push_str(&table(
        &[
            "measure",
            "at least ≤",
            "aim ≤",
            "development half",
            "judged half",
            "worst of the development half",
            "worst of the judged half",
        ],
        measures.iter().map(row).collect(),
    ));
    text.push_str(&missed(measured));
    text.push_str(&section("Peaks and conditions: J against hpa70", &SETTING_HEADS, settings(measured)));
    for half in Half::ALL {
        let title = format!("Recordings of the {}, peak 8 cores", half.name());
        text.push_str(&section(&title, &RECORDING_HEADS, recordings(measured, half)));
    }
    text.push_str(&section("Budgets of trims: J against the default of 96", &TRIM_HEADS, trims(measured)));
    text.push_str(&section("Ways in with fewer signals: J against hpa70", &WAY_HEADS, ways(measured)));
    text.push_str(&section(
        "What each constant is worth: halved, doubled (development half, one seed)",
        &TUNING_HEADS,
        tunings(measured),
    ));
    text.push_str(&section("Queues: J in $ a day, items late", &QUEUE_HEADS, queues(measured)));
    text
}

/// A value, marked by what it reaches.
fn row(measure: &Measure) -> Vec<String> {
    let reached = |value: f64| match () {
        () if value <= measure.aim => "aim",
        () if value <= measure.least => "met",
        () => "**missed**",
    };
    let value = |value: &Option<f64>| {
        value.map_or_else(nothing, |value| format!("{} {}", (measure.write)(value), reached(value)))
    };
    let worst = |worst: &Option<(f64, String)>| {
        worst.as_ref().map_or_else(nothing, |(value, name)| format!("{name}: {}", (measure.write)(*value)))
    };
    let mut cells = vec![measure.name.clone(), bound(measure.least), bound(measure.aim)];
    cells.extend(measure.halves.iter().map(value));
    cells.extend(measure.worst.iter().map(worst));
    cells
}

/// A bound without needless digits.
fn bound(value: f64) -> String {
    format!("{value}")
}

/// Every load and setting on which arbiter is dearer than hpa70 by more than is allowed, or holds too long.
fn missed(measured: &Measured<'_>) -> String {
    const ALLOWED: (f64, f64) = (1.03, 2.0);
    let mut lines: Vec<(f64, String)> = Vec::new();
    for half in Half::ALL {
        for setting in cases::compared() {
            for trace in measured.traces(half, setting) {
                let at = (setting, "arbiter");
                let over = measured.results.ratio(trace, at, (setting, "hpa70"));
                if let Some(over) = over.filter(|over| *over > ALLOWED.0) {
                    lines.push((over, format!("{trace} at {setting} ({}): J {over:.3} of hpa70's", half.name())));
                }
            }
        }
    }
    lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = format!("\nDearer than {} of hpa70's J: ", ALLOWED.0);
    if lines.is_empty() {
        text.push_str("none.\n");
    } else {
        text.push_str(&format!("{}.\n\n", lines.len()));
        text.extend(lines.into_iter().map(|line| format!("- {}\n", line.1)));
    }
    text
}

const SETTING_HEADS: [&str; 8] = [
    "setting",
    "development: geomean",
    "worst",
    "judged: geomean",
    "worst",
    "late, arbiter",
    "late, hpa70",
    "longest hold, lead times",
];

fn settings(measured: &Measured<'_>) -> Rows {
    let results = measured.results;
    let rows = cases::compared().into_iter().filter(|setting| !results.traces(setting).is_empty()).map(|setting| {
        let at = (setting, "arbiter");
        let mut cells = vec![setting.to_owned()];
        let mut all: Vec<&str> = Vec::new();
        for half in Half::ALL {
            let traces = measured.traces(half, setting);
            let each: Vec<(f64, &str)> = traces
                .iter()
                .filter_map(|trace| Some((results.ratio(trace, at, (setting, "hpa70"))?, *trace)))
                .collect();
            let values: Vec<f64> = each.iter().map(|one| one.0).collect();
            let worst = each.iter().max_by(|a, b| a.0.total_cmp(&b.0));
            cells.push(geomean(&values).map_or_else(nothing, ratio));
            cells.push(worst.map_or_else(nothing, |(value, trace)| format!("{} {trace}", ratio(*value))));
            all.extend(traces);
        }
        for at in [at, (setting, "hpa70")] {
            let late: Vec<f64> = all.iter().filter_map(|trace| results.mean(trace, at, late)).collect();
            cells.push(mean(&late).map_or_else(nothing, percent));
        }
        let holds = all.iter().filter_map(|trace| results.most(trace, at, |score| score.longest_saturated_hold_leads));
        cells.push(holds.max_by(f64::total_cmp).map_or_else(nothing, number));
        cells
    });
    rows.collect()
}

const RECORDING_HEADS: [&str; 11] = [
    "recording",
    "J $/day",
    "/hpa70",
    "/hpa70-vpa",
    "/hindsight",
    "/oracle-n",
    "late, arbiter",
    "late, hpa70",
    "reversals/h",
    "trims/pod/day",
    "longest hold, lead times",
];

fn recordings(measured: &Measured<'_>, half: Half) -> Rows {
    let results = measured.results;
    let row = |trace: &&str| {
        let per_day = results.mean(trace, ARBITER, |score| Some(score.j.get() * 24.0 / score.hours));
        let over = |rival: At<'_>| results.ratio(trace, ARBITER, rival).map_or_else(nothing, ratio);
        let late = |at: At<'_>| results.mean(trace, at, late).map_or_else(nothing, percent);
        let mut cells = vec![(*trace).to_owned(), per_day.map_or_else(nothing, number)];
        cells.extend([over(HPA), over(HPA_VPA), over(HINDSIGHT), over(ORACLE), late(ARBITER), late(HPA)]);
        let reversals = results.mean(trace, ARBITER, |score| Some(score.reversals_per_hour));
        let trims = results.mean(trace, ARBITER, |score| Some(score.trims_per_pod_day));
        let hold = results.most(trace, ARBITER, |score| score.longest_saturated_hold_leads);
        cells.extend([reversals, trims, hold].map(|value| value.map_or_else(nothing, number)));
        cells
    };
    measured.traces(half, USUAL).iter().map(row).collect()
}

const TRIM_HEADS: [&str; 5] =
    ["budget", "development: geomean", "judged: geomean", "trims per pod and day, mean", "resizes of all kinds, mean"];

fn trims(measured: &Measured<'_>) -> Rows {
    let results = measured.results;
    let budgets = TRIMS.iter().map(|(setting, _)| *setting);
    let settings: Vec<&str> = budgets.chain([USUAL]).filter(|setting| !results.traces(setting).is_empty()).collect();
    let rows = settings.into_iter().map(|setting| {
        let at = (setting, "arbiter");
        let name = if setting == USUAL { "96, the default" } else { setting };
        let mut cells = vec![name.to_owned()];
        let mut all: Vec<&str> = Vec::new();
        for half in Half::ALL {
            let traces = measured.traces(half, setting);
            let values: Vec<f64> = traces.iter().filter_map(|trace| results.ratio(trace, at, ARBITER)).collect();
            cells.push(geomean(&values).map_or_else(nothing, ratio));
            all.extend(traces);
        }
        let counted = |value: fn(&crate::simulate::Score) -> f64| {
            let values: Vec<f64> =
                all.iter().filter_map(|trace| results.mean(trace, at, |score| Some(value(score)))).collect();
            mean(&values).map_or_else(nothing, number)
        };
        cells.extend([counted(|score| score.trims_per_pod_day), counted(|score| score.resizes_per_pod_day)]);
        cells
    });
    rows.collect()
}

const WAY_HEADS: [&str; 6] =
    ["recording", "half", "(a) rate and latency", "(b) rate", "(c) CPU", "late: (a), (b), (c), hpa70"];

fn ways(measured: &Measured<'_>) -> Rows {
    let results = measured.results;
    let all = [ARBITER, (USUAL, WAYS[0].0), (USUAL, WAYS[1].0)];
    let mut rows = Rows::new();
    for half in Half::ALL {
        for trace in measured.traces(half, USUAL) {
            let ratios = all.map(|at| results.ratio(trace, at, HPA));
            if ratios[1].is_none() && ratios[2].is_none() {
                continue;
            }
            let mut cells = vec![trace.to_owned(), half.name().to_owned()];
            cells.extend(ratios.map(|value| value.map_or_else(nothing, ratio)));
            let lates = all.into_iter().chain([HPA]);
            let lates = lates.map(|at| results.mean(trace, at, late).map_or_else(nothing, percent));
            cells.push(lates.collect::<Vec<_>>().join(", "));
            rows.push(cells);
        }
    }
    rows
}

const TUNING_HEADS: [&str; 8] =
    ["constant", "default", "halved: J", "worst", "late, reversals/h", "doubled: J", "worst", "late, reversals/h"];

fn tunings(measured: &Measured<'_>) -> Rows {
    let results = measured.results;
    let mut rows = Rows::new();
    for (name, value) in cases::constants() {
        let mut cells = vec![name.clone(), format!("{value}")];
        for factor in cases::FACTORS {
            let setting = cases::tuning(&name, factor);
            let (traces, at) = (measured.traces(Half::Development, &setting), (setting.as_str(), "arbiter"));
            let ratios: Vec<f64> = traces.iter().filter_map(|trace| results.ratio(trace, at, ARBITER)).collect();
            let of = |value: fn(&crate::simulate::Score) -> Option<f64>| {
                let values: Vec<f64> = traces.iter().filter_map(|trace| results.mean(trace, at, value)).collect();
                mean(&values)
            };
            let change = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
            cells.push(geomean(&ratios).map_or_else(nothing, change));
            cells.push(ratios.iter().copied().max_by(f64::total_cmp).map_or_else(nothing, change));
            let (late, reversals) = (of(late), of(|score| Some(score.reversals_per_hour)));
            cells.push(format!("{}, {}", late.map_or_else(nothing, percent), reversals.map_or_else(nothing, number)));
        }
        if cells.iter().any(|cell| cell.contains('%')) {
            rows.push(cells);
        }
    }
    rows
}

const QUEUE_HEADS: [&str; 6] = [
    "queue",
    "arbiter",
    "keda at its cheapest",
    "keda, no more late than arbiter",
    "J against that",
    "keda as set up by rule",
];

fn queues(measured: &Measured<'_>) -> Rows {
    let results = measured.results;
    let row = |trace: &&str| {
        let days = results.mean(trace, (QUEUE, "arbiter"), |score| Some(score.hours / 24.0))?;
        let queue = measured.queue(trace)?;
        let one = |(j, late): (f64, f64)| format!("{:.2}, {}", j / days, percent(late));
        let rule = (results.j(trace, (QUEUE, "keda"))?, results.mean(trace, (QUEUE, "keda"), late)?);
        let ours = (queue.j, queue.late);
        Some(vec![(*trace).to_owned(), one(ours), one(queue.best), one(queue.equal), ratio(queue.ratio), one(rule)])
    };
    results.traces(QUEUE).iter().filter_map(row).collect()
}

fn section(title: &str, heads: &[&str], rows: Rows) -> String {
    if rows.is_empty() { String::new() } else { format!("\n## {title}\n\n{}", table(heads, rows)) }
}

fn table(heads: &[&str], rows: Rows) -> String {
    let rule = "|---".repeat(heads.len()) + "|\n";
    let mut text = format!("| {} |\n{rule}", heads.join(" | "));
    text.extend(rows.into_iter().map(|row| format!("| {} |\n", row.join(" | "))));
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn nothing() -> String {
    "–".to_owned()
}
