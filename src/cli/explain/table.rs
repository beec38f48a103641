//! The table for people: the sentence, the answers that were weighed, the signals, what holds it back, what changed.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;

use super::{CHANGES, Change, Record, seconds_since, shape};
use crate::{
    decide::{Decision, ScheduledFloor, SignalVerdict},
    policy::Role,
    units::{Bytes, Cores},
};

/// Everything, indented as it is read.
pub(super) fn render(record: &Record, now: Option<Timestamp>) -> String {
    let decision = &record.decision;
    let mut text = format!("{}\n  {}\n", headline(record, now), decision.message);
    if !decision.explain.alternatives.is_empty() {
        block(&mut text, &alternatives(decision));
    }
    if let Some(waiting) = waiting(decision) {
        line(&mut text, &format!("  {waiting}"));
    }
    if !decision.explain.signals.is_empty() {
        block(&mut text, &signals(&decision.explain.signals));
    }
    let held = &decision.explain.held_back_by;
    let held = if held.is_empty() { "nothing".to_owned() } else { held.join("; ") };
    text.push('\n');
    line(&mut text, &format!("  HELD BACK BY  {held}"));
    if let Some(limit) = &decision.explain.limited {
        line(&mut text, &format!("  LIMITED BY    {limit}"));
    }
    for floor in &decision.explain.schedules {
        line(&mut text, &format!("  SCHEDULED     {}", scheduled(floor)));
    }
    if !record.changes.is_empty() {
        block(&mut text, &changes(&record.changes));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn block(text: &mut String, table: &Table) {
    text.push('\n');
    for row in table.lines() {
        line(text, row.trim_end());
    }
}

fn headline(record: &Record, now: Option<Timestamp>) -> String {
    let decision = &record.decision;
    let cpu = shape(decision).pod_cores.map(|c| format!("{} cores", number(c)));
    let memory = decision.containers.iter().filter_map(|c| c.requests.memory_bytes).map(|b| b.0).reduce(|a, b| a + b);
    let size: Vec<_> = cpu.into_iter().chain(memory.map(|m| Bytes(m).to_string())).collect();
    let size = if size.is_empty() { String::new() } else { format!(" × {}", size.join(", ")) };
    let when = match now {
        Some(now) => format!("decided {:.0} s ago", seconds_since(decision.at, now)),
        None => format!("decided at {}", decision.at),
    };
    format!(
        "{} ({} {}) · {:?} · {} replicas{size} · {when}",
        record.name, record.kind, record.target, record.mode, decision.replicas
    )
}

/// Up to two decimals, without trailing zeros.
fn number(cores: Cores) -> String {
    let text = format!("{:.2}", cores.get());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn table(heads: &[&str], right: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads.iter().map(ToString::to_string));
    for index in right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn alternatives(decision: &Decision) -> Table {
    let mut table =
        table(&["", "CHOICE", "CARRIES", "MISSING", "PODS $/H", "SHORTAGE $/H", "SWITCH $/H", "TOTAL $/H"], 2..8);
    for a in &decision.explain.alternatives {
        let missing = if a.missing_cores.get() > 0.0 { format!("{:.2}", a.missing_cores.get()) } else { "0".into() };
        table.add_row([
            if a.chosen { ">" } else { "" }.to_owned(),
            format!("{} × {} cores", a.replicas, number(a.pod_cores)),
            format!("{:.1}", a.carries_cores.get()),
            missing,
            format!("{:.3}", a.pods_per_hour.get()),
            format!("{:.3}", a.shortage_per_hour.get()),
            format!("{:.3}", a.switch_per_hour.get()),
            format!("{:.3}", a.total_per_hour().get()),
        ]);
    }
    table
}

/// The replica and the size that wait, in one line.
fn waiting(decision: &Decision) -> Option<String> {
    let hold = decision.explain.hold.as_ref().map(|h| {
        let (idle, left) = (span(h.idle_seconds.get()), span(h.seconds_left.get()));
        format!("replica {} has been idle for {idle} and leaves in {left} if demand stays", h.replica)
    });
    let size = decision.explain.size.as_ref().map(|s| {
        format!("size {}: regret ${:.2} of ${:.2}", number(s.pod_cores), s.regret_dollars, s.threshold_dollars)
    });
    let parts: Vec<_> = hold.into_iter().chain(size).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// `at least 10 replicas until 2026-02-03T17:00:00Z`
fn scheduled(floor: &ScheduledFloor) -> String {
    let ScheduledFloor { min_replicas, active, start, end } = floor;
    let replicas = if min_replicas.0 == 1 { "replica" } else { "replicas" };
    match active {
        true => format!("at least {min_replicas} {replicas} until {end}"),
        false => format!("at least {min_replicas} {replicas} from {start} to {end}"),
    }
}

fn span(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

fn signals(verdicts: &[SignalVerdict]) -> Table {
    let mut table = table(&[" ", "SIGNAL", "ROLE", "VALUE", "AGE", "STATE", ""], 3..5);
    for signal in verdicts {
        table.add_row([
            String::new(),
            signal.name.clone(),
            format!("{:?}", signal.role),
            signal.value.map_or_else(|| "–".into(), |value| with_unit(signal.role, value)),
            signal.age_seconds.map_or_else(|| "–".into(), |age| span(age.get())),
            format!("{:?}", signal.state),
            signal.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn with_unit(role: Role, value: f64) -> String {
    match role {
        Role::Demand => format!("{value:.1}/s"),
        Role::Backlog => format!("{value:.0}"),
        Role::Latency => format!("{:.0} ms", value * 1000.0),
        Role::Saturation => format!("{:.0} %", value * 100.0),
    }
}

fn changes(changes: &[Change]) -> Table {
    let mut table = table(&[" ", "LAST CHANGES", "", ""], 0..0);
    for change in changes.iter().take(CHANGES) {
        let at =
            Timestamp::from_millisecond(change.at).map(|t| t.strftime("%H:%M:%SZ").to_string()).unwrap_or_default();
        let mut what = format!("{} → {}", change.from.replicas, change.to.replicas);
        if let (Some(from), Some(to)) = (change.from.pod_cores, change.to.pod_cores)
            && from != to
        {
            // Writing to a string cannot fail.
            write!(what, " × {} → {} cores", number(from), number(to)).ok();
        }
        table.add_row([String::new(), at, what, format!("{:?}", change.reason)]);
    }
    table
}
