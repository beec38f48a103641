//! The fight in a terminal: what it is about, a table of endings, and a small picture of every course.

use comfy_table::{CellAlignment, Table, presets};

use super::{Class, Course, Point, whole};
use crate::units::maths;

/// Columns of a picture.
const COLUMNS: usize = 56;
/// Steps of a picture's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Rungs that are written out; of more, the first and the last.
const RUNGS: usize = 7;

/// What it is about.
const OPENING: &str = "\
Two autoscalers on one workload. The work is steady, nothing is random, nodes never fill: whatever moves, they move.
HPA wants a pod to use τ of its request; VPA wants the request to be κ times what a pod uses. Both are content only where
κ × τ = 1, whatever the load. HPA stands still within 10 % of that, and there every state suits both.
A … E and M are such pairs, K is one autoscaler that acts faster than it sees, H blends two into one.
";

/// What it comes to.
const CLOSING: &str = "\
The request of a pod is VPA's answer and HPA's question. With κ × τ below 1 pods become many and small, above 1 few and
large; near 1 the count follows history instead of load. It ends when one of them stops reading what the other writes
(E), or when one owner decides both. docs/fight.md tells it at length.
";

/// All that `arbiter demo --fight` prints.
#[must_use]
pub fn text(courses: &[Course]) -> String {
    format!("{OPENING}\n{}\n\n{}\n{CLOSING}", table(courses), ladders(courses))
}

/// The table of endings.
#[must_use]
pub fn table(courses: &[Course]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "CASE",
        "κ × τ",
        "ENDING",
        "PODS",
        "REQUEST OF A POD",
        "EVICTED",
        "RESIZED",
        "PLAYED",
    ]);
    for course in courses {
        let case = course.case;
        table.add_row([
            case.key.to_owned(),
            case.product.map_or_else(|| "–".to_owned(), |product| format!("{product:.3}")),
            course.class.words().to_owned(),
            pods(course),
            requests(course),
            course.evictions.to_string(),
            course.resizes.to_string(),
            duration(case.seconds),
        ]);
    }
    for column in table.column_iter_mut().skip(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

/// Replicas from the start to the end, or between which they swing.
pub(super) fn pods(course: &Course) -> String {
    if course.class == Class::Oscillates {
        let (low, high) = course.span();
        return format!("{low} … {high}");
    }
    format!("{} → {}", course.case.setup.replicas, course.last_replicas())
}

/// CPU request of a pod at the start and at the end, where anybody moves it.
fn requests(course: &Course) -> String {
    if course.case.setup.queue.is_some() {
        return "–".to_owned();
    }
    format!("{} → {}", millicores(course.case.setup.request), millicores(course.last_request()))
}

/// Every course as a picture, with the rungs of its ladder beside what was known of it.
#[must_use]
pub fn ladders(courses: &[Course]) -> String {
    courses.iter().map(ladder).collect::<Vec<_>>().join("\n")
}

fn ladder(course: &Course) -> String {
    let case = course.case;
    let mut text = format!("{:<3}{}: {}\n", case.key, case.title, course.class.words());
    let mut line = |name: &str, content: &str| text.push_str(&format!("   {name:<9}{content}\n"));
    line("pods", &picture(&course.points, |point| f64::from(point.replicas)));
    if case.setup.queue.is_some() {
        line("queue", &picture(&course.points, |point| point.waiting.max(1.0)));
    } else {
        line("request", &picture(&course.points, |point| point.mean_request));
    }
    line("here", &steps(course));
    line("known", case.reference);
    line("with", case.note);
    text
}

/// The rungs, as `8×1000m → 10×587m`; of an oscillation, where it swings.
fn steps(course: &Course) -> String {
    if course.class == Class::Oscillates {
        return format!("{} pods, {:.0} changes of direction an hour", pods(course), course.reversals_per_hour());
    }
    let one = |rung: &super::Rung| format!("{}×{}", rung.replicas, millicores(rung.request));
    let count = |rung: &super::Rung| rung.replicas.to_string();
    let rungs = course.rungs();
    let all: Vec<String> =
        rungs.iter().map(|rung| if course.case.setup.queue.is_some() { count(rung) } else { one(rung) }).collect();
    if all.len() <= RUNGS {
        return all.join(" → ");
    }
    format!("{} → … → {}", all[..RUNGS - 2].join(" → "), all[all.len() - 1])
}

/// A row of bars over time; heights on a logarithmic scale, because ratios are what matters.
fn picture(points: &[Point], value: impl Fn(&Point) -> f64) -> String {
    let at = |column: usize| &points[column * (points.len() - 1) / (COLUMNS - 1)];
    let values: Vec<f64> = (0..COLUMNS).map(|column| maths::ln(value(at(column)).max(1e-9))).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let bar = |v: &f64| {
        if high - low < 1e-9 {
            return BARS[3];
        }
        BARS[whole((v - low) / (high - low) * 7.0 + 0.5).min(7)]
    };
    values.iter().map(bar).collect()
}

/// As Kubernetes writes CPU.
pub(super) fn millicores(cores: f64) -> String {
    format!("{}m", whole(cores * 1000.0 + 0.5))
}

/// A time in its largest whole unit.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    match minutes {
        _ if minutes >= 2.0 * 1440.0 => format!("{:.0} d", minutes / 1440.0),
        _ if minutes >= 120.0 => format!("{:.0} h", minutes / 60.0),
        _ => format!("{minutes:.0} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_ratios() {
        let points: Vec<Point> =
            (0_i32..112).map(|i| Point { request: f64::from(1 << (i / 14)), ..Point::default() }).collect();
        let picture = picture(&points, |point| point.request);
        assert_eq!(picture.chars().count(), COLUMNS);
        // Doublings are equal steps.
        assert!(BARS.iter().all(|bar| picture.chars().filter(|c| c == bar).count() == 7), "{picture}");
    }

    #[test]
    fn times_are_in_their_unit() {
        assert_eq!([2400.0, 7200.0, 1_814_400.0].map(duration), ["40 min", "2 h", "21 d"]);
        assert_eq!(millicores(0.0255), "26m");
    }
}
