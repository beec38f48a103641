//! The table for people: the sentence, what binds and the evidence, the answers that were weighed, the signals, what
//! holds it back, what changed.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;

use super::{CHANGES, Change, Record, seconds_since, shape};
use crate::{
    decide::{Decision, Explain, ScheduledFloor, SignalVerdict},
    policy::Role,
    units::{Bytes, Cores},
};

/// Everything, indented as it is read.
pub(super) fn render(record: &Record, now: Option<Timestamp>) -> String {
    let decision = &record.decision;
    let explain = &decision.explain;
    let mut text = format!("{}\n  {}\n", headline(record, now), decision.message);
    entries(&mut text, evidence(decision));
    if !explain.alternatives.is_empty() {
        block(&mut text, &alternatives(decision));
    }
    for waiting in waiting(explain) {
        line(&mut text, &format!("  {waiting}"));
    }
    if !explain.signals.is_empty() {
        block(&mut text, &signals(&explain.signals));
    }
    entries(&mut text, bounds(explain));
    if !record.changes.is_empty() {
        block(&mut text, &changes(&record.changes));
    }
    text
}

/// A name and what is said about it.
type Entry = (&'static str, String);

/// Entries below each other, after an empty line.
fn entries(text: &mut String, entries: Vec<Entry>) {
    if !entries.is_empty() {
        text.push('\n');
    }
    for (name, what) in entries {
        line(text, format!("  {name:<12}  {what}").trim_end());
    }
}

/// What binds, how much work there is and what says so, what one replica carries of it.
fn evidence(decision: &Decision) -> Vec<Entry> {
    let e = &decision.explain;
    let binding = e.binding.map(|b| {
        let left = b.seconds_left.map_or_else(String::new, |s| format!(", {} left", span(s.get())));
        format!("{}{left}", b.constraint.words())
    });
    let parts = [
        e.usage_cores.map(|u| format!("{} used", cores(u))),
        e.idle_cores.map(|i| format!("{} idle per replica", cores(i))),
        e.work_core_seconds.map(|w| format!("{} of CPU per unit", milliseconds(w))),
    ];
    let because: Vec<_> = parts.into_iter().flatten().collect();
    let because = if because.is_empty() { String::new() } else { format!(": {}", because.join(", ")) };
    let demand = e.demand_cores.map(|demand| {
        let from = e.demand_from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
        format!("{}{from}{because}", cores(demand))
    });
    let planned = e.planned_cores.map(|planned| {
        let headroom = e.headroom.filter(|h| *h > 0.0).map(|h| format!(", {} headroom", percent(h)));
        format!("for {}{}", cores(planned), headroom.unwrap_or_default())
    });
    let carries = e.capacity_cores.map(|one| {
        let allowed = e.allowed_utilization.map(|a| format!(" at {} of its size", percent(a)));
        let corrected = e.capacity_adjustment.filter(|a| (a - 1.0).abs() >= 0.005);
        let corrected = corrected.map(|a| format!(", {} of what was reckoned, as measured", percent(a)));
        format!("{} per replica{}{}", cores(one), allowed.unwrap_or_default(), corrected.unwrap_or_default())
    });
    let boost = decision.boost.as_ref().map(|boost| {
        let each = boost.containers.iter().map(|c| format!("{} {}", c.name, cores(c.cpu_cores)));
        format!("{} until {}", each.collect::<Vec<_>>().join(", "), boost.until)
    });
    let lead = e.lead_seconds.map(|lead| format!("{} from a decision to a ready pod", span(lead.get())));
    let all = [
        ("BOUND BY", binding),
        ("DEMAND", demand),
        ("PLANNED", planned),
        ("CARRIES", carries),
        ("MEANWHILE", boost),
        ("LEAD TIME", lead),
    ];
    all.into_iter().filter_map(|(name, what)| Some((name, what?))).collect()
}

/// What keeps it from shrinking, limits it, or cannot be reached; and the calendar.
fn bounds(explain: &Explain) -> Vec<Entry> {
    let held = &explain.held_back_by;
    let held = if held.is_empty() { "nothing".to_owned() } else { held.join("; ") };
    let mut all = vec![("HELD BACK BY", held)];
    all.extend(explain.limited.iter().map(|limit| ("LIMITED BY", limit.clone())));
    all.extend(explain.unreachable.iter().map(|why| ("OUT OF REACH", why.clone())));
    all.extend(explain.schedules.iter().map(|floor| ("SCHEDULED", scheduled(floor))));
    all
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
    let cpu = shape(decision).pod_cores.map(cores);
    let memory = decision.containers.iter().filter_map(|c| c.requests.memory_bytes).map(|b| b.0).reduce(|a, b| a + b);
    let size: Vec<_> = cpu.into_iter().chain(memory.map(|m| Bytes(m).to_string())).collect();
    let size = if size.is_empty() { String::new() } else { format!(" × {}", size.join(", ")) };
    let replicas = if decision.replicas.0 == 1 { "replica" } else { "replicas" };
    let when = match now {
        Some(now) => format!("decided {:.0} s ago", seconds_since(decision.at, now)),
        None => format!("decided at {}", decision.at),
    };
    format!(
        "{} ({} {}) · {:?} · {} {replicas}{size} · {when}",
        record.name, record.kind, record.target, record.mode, decision.replicas
    )
}

/// Up to two decimals, without trailing zeros.
fn number(cores: Cores) -> String {
    decimals(cores.get(), 2)
}

/// `1 core`, `1.2 cores`
fn cores(cores: Cores) -> String {
    let text = number(cores);
    let unit = if text == "1" { "core" } else { "cores" };
    format!("{text} {unit}")
}

/// `12 %`, `2.5 %`
fn percent(share: f64) -> String {
    format!("{} %", decimals(100.0 * share, 1))
}

/// `18 ms`, `0.25 ms`
fn milliseconds(seconds: f64) -> String {
    format!("{} ms", decimals(1000.0 * seconds, 2))
}

fn decimals(x: f64, most: usize) -> String {
    let text = format!("{x:.most$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
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
    let heads = ["", "CHOICE", "CARRIES", "MISSING", "PODS $/H", "SHORTAGE $/H", "SWITCH $/H", "TOTAL $/H"];
    let ruled_out = decision.explain.alternatives.iter().any(|a| a.ruled_out.is_some());
    let heads: Vec<_> = heads.into_iter().chain(ruled_out.then_some("RULED OUT BY")).collect();
    let mut table = table(&heads, 2..8);
    for a in &decision.explain.alternatives {
        let missing = if a.missing_cores.get() > 0.0 { format!("{:.2}", a.missing_cores.get()) } else { "0".into() };
        let row = [
            if a.chosen { ">" } else { "" }.to_owned(),
            format!("{} × {}", a.replicas, cores(a.pod_cores)),
            format!("{:.1}", a.carries_cores.get()),
            missing,
            format!("{:.3}", a.pods_per_hour.get()),
            format!("{:.3}", a.shortage_per_hour.get()),
            format!("{:.3}", a.switch_per_hour.get()),
            format!("{:.3}", a.total_per_hour().get()),
        ];
        let why = ruled_out.then(|| a.ruled_out.map_or_else(String::new, |why| why.words().to_owned()));
        table.add_row(row.into_iter().chain(why));
    }
    table
}

/// The replicas and the size that wait, in a line each.
fn waiting(explain: &Explain) -> Vec<String> {
    let hold = explain.hold.as_ref().map(|h| {
        let (idle, left) = (span(h.idle_seconds.get()), span(h.seconds_left.get()));
        let then = explain.then_leave.iter();
        let then: Vec<_> = then.map(|h| format!("{} in {}", h.replica, span(h.seconds_left.get()))).collect();
        let then = if then.is_empty() { String::new() } else { format!("; then {}", then.join(", ")) };
        format!("replica {} has been idle for {idle} and leaves in {left} if demand stays{then}", h.replica)
    });
    let size = explain.size.as_ref().map(|s| {
        format!("size {}: regret ${:.2} of ${:.2}", number(s.pod_cores), s.regret_dollars, s.threshold_dollars)
    });
    hold.into_iter().chain(size).collect()
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
