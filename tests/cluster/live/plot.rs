//! The course of a case as a picture: replicas, size, cores, and what users get.

use arbiter::report::draw::{Axis, Hue, Join, Panel, Picture, Series};

use super::{Case, play::Story, record::Row};

/// As SVG.
pub(super) fn svg(story: &Story) -> String {
    let pods = |row: &Row| f64::from(row.ready);
    let replicas = vec![
        line(story, "ready", Hue::Quiet, Join::Area, pods),
        line(story, "replicas", Hue::Arbiter, Join::Step, |row| f64::from(row.replicas)),
    ];
    let sizes = vec![line(story, "request", Hue::Rival, Join::Step, |row| row.size() * 1000.0)];
    let cores = vec![
        line(story, "load", Hue::Quiet, Join::Area, |row| row.load),
        line(story, "requested", Hue::Rival, Join::Step, |row| row.cores),
        line(story, "ready", Hue::Arbiter, Join::Step, |row| row.capacity),
    ];
    let (users, pain) = match story.case {
        Case::Service => ("requests that were late, of those of the last 10 s, in %", late(story)),
        Case::Worker => ("age of the oldest message, in seconds", story.rows.iter().map(|r| (r.at, r.age)).collect()),
    };
    let pain = Series { name: "late".into(), hue: Hue::Rival, join: Join::Line, points: minutes(pain) };
    let picture = Picture {
        title: story.case.title().into(),
        words: "At (b) arbiter is told to take over (mode Auto), at (c) to give back (mode Recommend).".into(),
        below: "minutes".into(),
        panels: vec![
            named(story, panel(story, "replicas", 110.0, replicas)),
            panel(story, "CPU request of a pod, mean, in millicores", 90.0, sizes),
            panel(story, "cores: work that arrives, requests of all pods, cores of the pods that work", 130.0, cores),
            panel(story, users, 90.0, vec![pain]),
        ],
    };
    picture.svg()
}

fn minutes(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().map(|(at, value)| (at / 60.0, value)).collect()
}

fn line(story: &Story, name: &str, hue: Hue, join: Join, value: impl Fn(&Row) -> f64) -> Series {
    let points = story.rows.iter().map(|row| (row.at, value(row))).collect();
    Series { name: name.into(), hue, join, points: minutes(points) }
}

/// Share of the requests of the last ten seconds that were late, in percent.
fn late(story: &Story) -> Vec<(f64, f64)> {
    const LOOKS: usize = 10;
    let share = |pair: &[Row]| {
        let (first, last) = (pair[0], pair[pair.len() - 1]);
        let arrived = last.arrived - first.arrived;
        (last.at, if arrived > 0.0 { (last.late - first.late) / arrived * 100.0 } else { 0.0 })
    };
    story.rows.windows(LOOKS + 1).step_by(LOOKS / 5).map(share).collect()
}

/// The panel with the names of the phases, and room for them above the lines.
fn named(story: &Story, mut panel: Panel) -> Panel {
    panel.up.high *= 1.3;
    let rivals = story.case.rivals();
    let names = [format!("(a) {rivals}"), "(b) arbiter".to_owned(), format!("(c) {rivals} again")];
    for (index, name) in names.into_iter().enumerate() {
        let points = vec![(index as f64 * story.phase / 60.0, 0.0)];
        panel.series.push(Series { name, hue: Hue::Other, join: Join::Marks, points });
    }
    panel
}

/// A panel over the whole time, with the changes of hands.
fn panel(story: &Story, name: &str, height: f64, mut series: Vec<Series>) -> Panel {
    let most = series.iter().flat_map(|s| &s.points).map(|point| point.1).fold(0.0, f64::max);
    let length = story.phase / 60.0;
    let points = vec![(length, 0.0), (2.0 * length, 0.0)];
    series.push(Series { name: String::new(), hue: Hue::Other, join: Join::Marks, points });
    let ticks = (0..=6).map(|half| f64::from(half) * length / 2.0);
    let across = Axis { low: 0.0, high: 3.0 * length, ticks: ticks.map(|at| (at, format!("{at:.0}"))).collect() };
    let word: fn(f64) -> String =
        if most > 5.0 { |value| format!("{value:.0}") } else { |value| format!("{value:.1}") };
    Panel { name: name.into(), height, across, up: Axis::from_zero(most, word), series }
}
