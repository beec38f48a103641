//! The courses as pictures: one SVG for each case, replicas above and what goes with them below.
//!
//! Written by hand because a drawing of two stepped lines needs no library, must come out byte for byte the same
//! everywhere, and has to be readable in a light and in a dark page.

use super::{Class, Course, Point, text};
use crate::units::maths;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 376.0;
/// Left and right edge of the panels.
const EDGES: (f64, f64) = (64.0, 690.0);
/// Top and height of the two panels.
const PANELS: [(f64, f64); 2] = [(76.0, 118.0), (222.0, 118.0)];

/// Colours for a light page, and others for a dark one; the lines stay apart for colour-blind eyes.
const STYLE: &str = "\
.page{fill:#ffffff}.ink{fill:#1f2933}.soft{fill:#5b6875}.grid{stroke:#d8dee4;stroke-width:1}.work{fill:#f5d90a;opacity:.25}\
.pods{stroke:#0b62c4;fill:none;stroke-width:2}.size{stroke:#b3480a;fill:none;stroke-width:2}.podsink{fill:#0b62c4}.sizeink{fill:#b3480a}\
text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.end{font-weight:600}\
@media(prefers-color-scheme:dark){.page{fill:#10151b}.ink{fill:#e6edf3}.soft{fill:#9aa7b4}.grid{stroke:#2b333d}\
.pods{stroke:#6cb6ff}.size{stroke:#f0a35e}.podsink{fill:#6cb6ff}.sizeink{fill:#f0a35e}}";

/// Steps of a logarithmic axis within a decade.
const TICKS: [f64; 3] = [1.0, 2.0, 5.0];

/// File name and content of every picture.
#[must_use]
pub fn plots(courses: &[Course]) -> Vec<(String, String)> {
    courses.iter().map(|course| (format!("{}.svg", course.case.file), plot(course))).collect()
}

/// A line over time with its axis.
struct Line<'a> {
    name: &'a str,
    class: &'a str,
    value: fn(&Point) -> f64,
    word: fn(f64) -> String,
    unit: f64,
}

fn plot(course: &Course) -> String {
    let case = course.case;
    let pods = Line {
        name: "pods",
        class: "pods",
        value: |point| f64::from(point.replicas),
        word: |value| format!("{value:.0}"),
        unit: 1.0,
    };
    let below = if case.setup.queue.is_some() {
        let value = |point: &Point| point.waiting.max(1.0);
        Line { name: "items that wait", class: "size", value, word: |value| format!("{value:.0}"), unit: 1.0 }
    } else {
        let word = |value| format!("{value:.0}m");
        Line {
            name: "CPU request of a pod, mean",
            class: "size",
            value: |point| point.mean_request,
            word,
            unit: 1000.0,
        }
    };
    let title = format!("{}   {}", case.key, case.title);
    let ending = format!("{}: {} pods", course.class.words(), text::pods(course));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n",
        escaped(&format!("{title}. {ending}"))
    );
    svg.push_str(&label(20.0, 24.0, "ink title", "start", &title));
    svg.push_str(&label(20.0, 42.0, "soft", "start", &ending));
    let end = course.points.last().map_or(1.0, |point| point.at);
    for (line, (top, height)) in [pods, below].iter().zip(PANELS) {
        svg.push_str(&surge(course, end, top, height));
        svg.push_str(&panel(course, line, end, top, height));
    }
    svg.push_str(&time_axis(end));
    svg.push_str("</svg>\n");
    svg
}

/// Where there is more work than at the start.
fn surge(course: &Course, end: f64, top: f64, height: f64) -> String {
    let work = course.case.setup.work;
    let usual = work(0.0);
    let mut more = course.points.iter().filter(|point| work(point.at) > usual).map(|point| point.at);
    let Some(from) = more.next() else { return String::new() };
    let (x, to) = (across(from, end), across(more.next_back().unwrap_or(from), end));
    format!("<rect class=\"work\" x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{height}\"/>\n", to - x)
}

/// One line with its horizontal rules.
fn panel(course: &Course, line: &Line<'_>, end: f64, top: f64, height: f64) -> String {
    let values: Vec<f64> = course.points.iter().map(|point| (line.value)(point) * line.unit).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    // Room above and below, so that what holds is seen to hold and small changes stay small.
    let middle = (low * high).sqrt();
    let (low, high) = (low.min(middle / 2.0) / 1.1, high.max(middle * 2.0) * 1.1);
    let up = |v: f64| top + height * (maths::ln(high / v) / maths::ln(high / low));
    let mut svg = label(EDGES.0, top - 6.0, "soft", "start", line.name);
    for tick in ticks(low, high) {
        let y = up(tick);
        svg.push_str(&rule(y));
        svg.push_str(&label(EDGES.0 - 8.0, y + 4.0, "soft", "end", &(line.word)(tick)));
    }
    let mut path = String::new();
    let mut last = f64::NAN;
    for (point, value) in course.points.iter().zip(&values) {
        if last.is_nan() {
            path.push_str(&format!("M{:.1} {:.1}", across(point.at, end), up(*value)));
        } else if *value != last {
            path.push_str(&format!("H{:.1}V{:.1}", across(point.at, end), up(*value)));
        }
        last = *value;
    }
    path.push_str(&format!("H{:.1}", EDGES.1));
    svg.push_str(&format!("<path class=\"{}\" d=\"{path}\"/>\n", line.class));
    let note = if course.class == Class::Oscillates { String::new() } else { (line.word)(last) };
    svg.push_str(&label(EDGES.1 + 6.0, up(last) + 4.0, &format!("{}ink end", line.class), "start", &note));
    svg
}

/// Where the time axis has its words: at the start, in the middle and at the end.
fn time_axis(end: f64) -> String {
    let y = PANELS[1].0 + PANELS[1].1 + 20.0;
    let (days, hours) = (end / 86_400.0, end / 3600.0);
    let word = |share: f64| match () {
        () if days >= 2.0 => format!("{:.0} d", days * share),
        () if hours > 2.5 => format!("{:.0} h", hours * share),
        () => format!("{:.0} min", hours * 60.0 * share),
    };
    let at = |share: f64| EDGES.0 + (EDGES.1 - EDGES.0) * share;
    let quarters = [0.25, 0.5, 0.75];
    let mut svg = label(at(0.0), y, "soft", "middle", "0");
    for share in quarters {
        svg.push_str(&label(at(share), y, "soft", "middle", &word(share)));
    }
    svg.push_str(&label(at(1.0), y, "soft", "middle", &word(1.0)));
    svg
}

fn across(at: f64, end: f64) -> f64 {
    EDGES.0 + (EDGES.1 - EDGES.0) * at / end
}

fn ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (0_i32..7).map(|decade| maths::pow(10.0, f64::from(decade)));
    let all: Vec<f64> = decades.flat_map(|decade| TICKS.map(|tick| tick * decade)).collect();
    let within: Vec<f64> = all.into_iter().filter(|tick| (low..=high).contains(tick)).collect();
    // Four rules are read at a glance; of more, the decades are enough.
    if within.len() > 5 { within.into_iter().step_by(3).collect() } else { within }
}

fn rule(y: f64) -> String {
    format!("<path class=\"grid\" d=\"M{} {y:.1}H{}\"/>\n", EDGES.0, EDGES.1)
}

/// Words at a place of a picture.
pub(crate) fn label(x: f64, y: f64, class: &str, anchor: &str, words: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escaped(words))
}

/// Words that cannot break a picture.
pub(crate) fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_a_few_round_numbers() {
        assert_eq!(ticks(3.0, 60.0), [5.0, 10.0, 20.0, 50.0]);
        assert_eq!(ticks(0.9, 900.0), [1.0, 10.0, 100.0]);
    }

    #[test]
    fn words_cannot_break_a_picture() {
        assert_eq!(escaped("a < \"b\" & c"), "a &lt; &quot;b&quot; &amp; c");
    }
}
