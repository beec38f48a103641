//! What is told of the cases: `live.md`, and beside it for each case its course and its writes as CSV, and a picture.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use arbiter::{policy::Prices, simulate::SHORTAGE_FACTOR};

use super::{WORK, play::Story, plot, record::Row};
use crate::support::{AuditEvent, Taken};

const PHASES: [char; 3] = ['a', 'b', 'c'];
/// Every how many looks a row goes into the CSV.
const THIN: usize = 2;

/// Prints the page, and writes everything into a folder if there is one.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
pub(super) fn write(stories: &[Story], folder: Option<&Path>) {
    let page = page(stories).expect("writing to a string cannot fail");
    println!("{page}");
    let Some(folder) = folder else { return };
    let put = |name: &str, text: String| fs::write(folder.join(name), text).expect("writing a result");
    put("live.md", page);
    for story in stories {
        let key = story.case.key();
        put(&format!("{key}.svg"), plot::svg(story));
        put(&format!("{key}.csv"), course(story));
        put(&format!("{key}-writes.csv"), writes(story));
    }
}

fn page(stories: &[Story]) -> Result<String, fmt::Error> {
    let mut out = include_str!("head.md").to_owned();
    let seconds = stories.first().map_or(0.0, |story| story.phase);
    writeln!(out, "A phase lasts {seconds:.0} s here.\n")?;
    for story in stories {
        let rivals = story.case.rivals();
        writeln!(out, "## {}\n\n![The course]({}.svg)\n", story.case.title(), story.case.key())?;
        writeln!(out, "| | (a) {rivals} | (b) arbiter | (c) {rivals} again |\n|---|---|---|---|")?;
        let phases = [0, 1, 2].map(|index| Phase::of(story, index));
        let mut row = |what: &str, tell: &dyn Fn(&Phase<'_>) -> String| {
            writeln!(out, "| {what} | {} |", phases.iter().map(tell).collect::<Vec<_>>().join(" | "))
        };
        row("cost of all requests, $ an hour", &|p| format!("{:.3}", p.cost()))?;
        row("late items, %", &|p| format!("{:.2}", p.late() * 100.0))?;
        row("J: cost and 20 times the late work, $ an hour", &|p| format!("{:.3}", p.j()))?;
        row("replicas: mean, least … most", &|p| {
            let counts = p.rows.iter().map(|row| row.replicas);
            let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
            format!("{:.1}, {least} … {most}", p.mean(|row| f64::from(row.replicas)))
        })?;
        row("CPU request of a pod: mean, at the end, millicores", &|p| {
            let last = p.rows.last().map_or(0.0, Row::size);
            format!("{:.0}, {:.0}", p.mean(Row::size) * 1000.0, last * 1000.0)
        })?;
        row("cores requested, mean", &|p| format!("{:.2}", p.mean(|row| row.cores)))?;
        row("changes of replicas (of direction)", &|p| {
            let (changes, turns) = p.changes();
            format!("{changes} ({turns})")
        })?;
        row("writes of `/scale`", &|p| p.by_whom("/scale"))?;
        row("resizes in place", &|p| p.by_whom("pods/resize"))?;
        row("evictions", &|p| p.by_whom("pods/eviction"))?;
        let more = |ours: f64, theirs: f64| format!("{:+.0} %", (ours / theirs - 1.0) * 100.0);
        let against = [0, 2].map(|than| {
            let ([_, ours, _], theirs) = (&phases, &phases[than]);
            let (cost, j) = (more(ours.cost(), theirs.cost()), more(ours.j(), theirs.j()));
            format!("against ({}): cost {cost}, J {j}", PHASES[than])
        });
        writeln!(out, "\narbiter {}; {}.", against[0], against[1])?;
        writeln!(out, "\n{}", handover(story)?)?;
    }
    out.push_str(&policies(stories)?);
    Ok(out)
}

/// How it changed hands.
fn handover(story: &Story) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let (ran, least) = story.takeover();
    writeln!(
        out,
        "Takeover under load: {ran} replicas ran, {least} was the fewest until they were arbiter's to move.\n"
    )?;
    writeln!(
        out,
        "| seconds after the mode was written | stood down | its controller has heard | arbiter's status says in control of both | its side without an owner | given back after `Recommend` | byte-equal |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let seconds = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |s| format!("{s:.2}"));
    for (taken, (_, before, after)) in story.taken.iter().zip(&story.originals) {
        let Taken { kind, down, heard, owned, back } = taken;
        let heard = if kind.sizes() { "cannot say".to_owned() } else { seconds(*heard) };
        let equal = if before == after { "yes" } else { "**no**" };
        writeln!(
            out,
            "| {} | {} | {heard} | {} | {} | {} | {equal} |",
            kind.as_str(),
            seconds(*down),
            seconds(*owned),
            seconds(taken.gap()),
            seconds(*back)
        )?;
    }
    Ok(out)
}

fn policies(stories: &[Story]) -> Result<String, fmt::Error> {
    let mut out = String::from("## The policies\n\nAs `arbiter import` made them of the old owners' objects.\n");
    for story in stories {
        let text = serde_json::to_string_pretty(&story.policy).map_err(|_| fmt::Error)?;
        writeln!(out, "\n{}:\n```json\n{text}\n```", story.case.key())?;
    }
    Ok(out)
}

/// One phase of a case.
struct Phase<'a> {
    story: &'a Story,
    rows: Vec<Row>,
    from: f64,
    to: f64,
}

impl<'a> Phase<'a> {
    fn of(story: &'a Story, index: usize) -> Self {
        let (from, to) = (story.phase * index as f64, story.phase * (index + 1) as f64);
        let rows = story.rows.iter().filter(|row| (from..to).contains(&row.at)).copied().collect();
        Self { story, rows, from, to }
    }

    fn mean(&self, value: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(value).sum::<f64>() / self.rows.len().max(1) as f64
    }

    fn cost(&self) -> f64 {
        self.mean(cost_per_hour)
    }

    /// Growth of a count over the phase.
    fn growth(&self, count: impl Fn(&Row) -> f64) -> f64 {
        match (self.rows.first(), self.rows.last()) {
            (Some(first), Some(last)) => count(last) - count(first),
            _ => 0.0,
        }
    }

    fn late(&self) -> f64 {
        self.growth(|row| row.late) / self.growth(|row| row.arrived).max(1.0)
    }

    /// As the simulator scores: late work is priced as CPU, so many times.
    fn j(&self) -> f64 {
        let hours = (self.to - self.from) / 3600.0;
        let late_core_hours = self.growth(|row| row.late) * WORK / 3600.0;
        self.cost() + SHORTAGE_FACTOR * late_core_hours / hours * Prices::default().core_hour.get()
    }

    /// Changes of `spec.replicas`, and how often they turned.
    fn changes(&self) -> (usize, usize) {
        let all = &self.story.replicas;
        let steps = all.windows(2).filter(|pair| (self.from..self.to).contains(&pair[1].0));
        let steps: Vec<bool> = steps.map(|pair| pair[1].1 > pair[0].1).collect();
        (steps.len(), steps.windows(2).filter(|pair| pair[0] != pair[1]).count())
    }

    /// Writes to a resource, by writer.
    fn by_whom(&self, resource: &str) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, event) in &self.story.writes {
            let counted = event.writes() && event.code < 300 && event.resource.ends_with(resource);
            if counted && (self.from..self.to).contains(at) {
                *counts.entry(who(event)).or_default() += 1;
            }
        }
        let told: Vec<String> = counts.into_iter().map(|(who, count)| format!("{count} by {who}")).collect();
        if told.is_empty() { "0".to_owned() } else { told.join(", ") }
    }
}

/// Dollars an hour for everything that is requested.
fn cost_per_hour(row: &Row) -> f64 {
    let prices = Prices::default();
    row.cores * prices.core_hour.get() + row.gib * prices.gib_hour.get()
}

/// The writer in a word: the last part of its name.
fn who(event: &AuditEvent) -> &str {
    match event.user.rsplit(':').next().unwrap_or_default() {
        "horizontal-pod-autoscaler" => "HPA",
        "keda-operator" => "KEDA",
        "vpa-updater" => "VPA",
        other => other,
    }
}

/// The course as CSV.
fn course(story: &Story) -> String {
    let mut out = String::from(
        "second,phase,load_cores,capacity_cores,replicas,ready,pods,requested_cores,requested_gib,pod_cores,waiting,oldest_s,arrived,late,restarts,usd_per_hour\n",
    );
    for row in story.rows.iter().step_by(THIN) {
        let mut phases = PHASES.iter().rev().zip([2.0, 1.0, 0.0]);
        let phase = phases.find(|(_, index)| row.at >= story.phase * index).map_or('a', |(name, _)| *name);
        let line = format!(
            "{:.0},{phase},{:.2},{:.2},{},{},{},{:.3},{:.3},{:.3},{:.0},{:.0},{:.0},{:.1},{},{:.4}\n",
            row.at,
            row.load,
            row.capacity,
            row.replicas,
            row.ready,
            row.pods,
            row.cores,
            row.gib,
            row.size(),
            row.waiting,
            row.age,
            row.arrived,
            row.late,
            row.restarts,
            cost_per_hour(row)
        );
        out.push_str(&line);
    }
    out
}

/// Who wrote what of the workload and its autoscalers, from the audit log.
fn writes(story: &Story) -> String {
    const TOLD: [&str; 7] = [
        "deployments/scale",
        "horizontalpodautoscalers",
        "verticalpodautoscalers",
        "scaledobjects",
        "scalingpolicies",
        "pods/resize",
        "pods/eviction",
    ];
    let mut out = String::from("second,who,verb,resource,name,code\n");
    for (at, event) in &story.writes {
        if event.writes() && *at >= 0.0 && TOLD.contains(&event.resource.as_str()) {
            let AuditEvent { verb, resource, name, code, .. } = event;
            out.push_str(&format!("{at:.2},{},{verb},{resource},{name},{code}\n", who(event)));
        }
    }
    out
}
