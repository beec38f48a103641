//! What is told: a table, a picture of the cost over the number of policies, and the bounds.

use std::{fmt::Write as _, fs, path::Path};

use arbiter::{
    report::draw::{Axis, Hue, Join, Panel, Picture, Series},
    units::maths,
};

use super::measure::Row;

/// Cores, MiB and seconds of a tick that 1,000 and 10,000 policies may take.
const BOUNDS: [(usize, f64, f64, f64); 2] = [(1_000, 0.15, 150.0, 3.0), (10_000, 1.0, 600.0, 3.0)];

/// Prints the page, and writes it with its picture into a folder if there is one.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
pub(crate) fn write(rows: &[Row], folder: Option<&Path>) {
    let page = table(rows);
    println!("{page}");
    let Some(folder) = folder else { return };
    fs::write(folder.join("scale.part"), page).expect("writing a result");
    fs::write(folder.join("scale.svg"), picture(rows)).expect("writing a result");
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| policies | pods | remembered | cores | MiB (at most) | tick, s: p50, p99 | queries a tick | reads a tick | writes a second: \
         counts, sizes, statuses, Events, memory | all decided after, s |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [scales, resizes, statuses, events, memories] = row.writes;
        writeln!(
            out,
            "| {} | {} | {} | {:.3} | {:.0} ({:.0}) | {:.2}, {:.2} | {:.1} | {:.0} | {scales:.2}, {resizes:.2}, {statuses:.2}, \
             {events:.2}, {memories:.3} | {:.1} |",
            row.size.policies,
            row.pods,
            if row.size.remembers { "a week" } else { "nothing" },
            row.cores, row.rss, row.rss_peak, row.tick.0, row.tick.1, row.queries, row.reads,
            row.first,
        )
        .expect("writing to a string cannot fail");
    }
    out
}

/// The decimal logarithm.
fn tens_of(value: f64) -> f64 {
    maths::ln(value) / maths::ln(10.0)
}

/// Rows that differ in the number of policies alone.
const fn is_on_curve(row: &Row) -> bool {
    row.size.pods == 10 && !row.size.remembers
}

/// Cost over the number of policies, both on logarithmic scales: a line of slope one is linear.
fn picture(rows: &[Row]) -> String {
    let tens = |from: i32, to: i32, word: fn(f64) -> String| Axis {
        low: f64::from(from),
        high: f64::from(to),
        ticks: (from..=to).map(|ten| (f64::from(ten), word(maths::pow(10.0, f64::from(ten))))).collect(),
    };
    let curve = |name: &str, hue: Hue, value: fn(&Row) -> f64| {
        let points = rows.iter().filter(|row| is_on_curve(row));
        let points = points.map(|row| (tens_of(row.size.policies as f64), tens_of(value(row).max(1e-3)))).collect();
        Series { name: name.to_owned(), hue, join: Join::Line, points }
    };
    let panel = |name: &str, up: Axis, series: Series| Panel {
        name: name.to_owned(),
        height: 110.0,
        across: tens(2, 4, |policies| format!("{policies:.0}")),
        up,
        series: vec![series],
    };
    let short: fn(f64) -> String = |value| format!("{value}");
    let picture = Picture {
        title: "What many policies cost".into(),
        words: "Ten pods each; both axes are logarithmic.".into(),
        below: "policies".into(),
        panels: vec![
            panel("cores", tens(-3, 0, short), curve("cores", Hue::Arbiter, |row| row.cores)),
            panel("resident memory, MiB", tens(1, 3, short), curve("MiB", Hue::Arbiter, |row| row.rss)),
            panel("duration of a tick, median, s", tens(-2, 1, short), curve("p50", Hue::Arbiter, |row| row.tick.0)),
        ],
    };
    picture.svg()
}

/// Holds the bounds, where their sizes were measured; and that nothing grows faster than linearly.
pub(crate) fn check(rows: &[Row]) {
    for (policies, cores, memory, tick) in BOUNDS {
        for row in rows.iter().filter(|row| row.size.policies == policies) {
            assert!(row.cores <= cores, "{policies} policies: {:.3} cores, at most {cores}", row.cores);
            assert!(row.rss <= memory, "{policies} policies: {:.0} MiB, at most {memory}", row.rss);
            assert!(row.tick.1 <= tick, "{policies} policies: {:.2} s a tick, at most {tick}", row.tick.1);
        }
    }
    let alike: Vec<&Row> = rows.iter().filter(|row| is_on_curve(row) && row.size.policies >= 1_000).collect();
    for pair in alike.windows(2) {
        let times = pair[1].size.policies as f64 / pair[0].size.policies as f64;
        // A quarter for noise.
        let linear = |value: fn(&Row) -> f64| value(pair[1]) <= 1.25 * times * value(pair[0]);
        assert!(linear(|row| row.cores) && linear(|row| row.rss) && linear(|row| row.tick.0), "{pair:?}");
        assert!((pair[1].queries - pair[0].queries).abs() < 8.0, "queries depend on the number of policies: {pair:?}");
    }
}
