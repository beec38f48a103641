//! Axes, lines and points of a picture: SVG by hand, the same bytes everywhere, readable in a light and in a dark page.

use std::fmt::Write as _;

use crate::simulate::fight::{escaped, label};

const WIDTH: f64 = 760.0;
/// Left and right edge of the panels; at the right there is room for a line's name.
const EDGES: (f64, f64) = (64.0, 620.0);
/// Above the first panel, and between two of them.
const HEAD: f64 = 76.0;
const GAP: f64 = 44.0;
/// Below the last panel.
const FOOT: f64 = 40.0;
/// Names at the end of lines are at least this far apart.
const NAME_HEIGHT: f64 = 14.0;

/// Colours that stay apart for colour-blind eyes, for a light page and for a dark one.
const STYLE: &str = "\
.page{fill:#ffffff}.ink{fill:#1f2933}.soft{fill:#5b6875}.grid{stroke:#d8dee4;stroke-width:1}.area{fill:#f5d90a;opacity:.35}\
.line{fill:none;stroke-width:1.6}.dash{fill:none;stroke-width:1.2;stroke-dasharray:5 4}\
.a{stroke:#0b62c4}.b{stroke:#b3480a}.c{stroke:#6b7280}.d{stroke:#15803d}\
.ai{fill:#0b62c4}.bi{fill:#b3480a}.ci{fill:#6b7280}.di{fill:#15803d}\
text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.end{font-weight:600}\
@media(prefers-color-scheme:dark){.page{fill:#10151b}.ink{fill:#e6edf3}.soft{fill:#9aa7b4}.grid{stroke:#2b333d}\
.a{stroke:#6cb6ff}.b{stroke:#f0a35e}.c{stroke:#9aa7b4}.d{stroke:#56d364}.ai{fill:#6cb6ff}.bi{fill:#f0a35e}.ci{fill:#9aa7b4}.di{fill:#56d364}}";

/// A colour; arbiter has the first one everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    /// arbiter's.
    Arbiter,
    /// Another autoscaler's.
    Rival,
    /// What is only there to compare with.
    Quiet,
    /// A fourth one.
    Other,
}

impl Hue {
    const fn class(self) -> &'static str {
        match self {
            Self::Arbiter => "a",
            Self::Rival => "b",
            Self::Quiet => "c",
            Self::Other => "d",
        }
    }
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// A straight line from one to the next.
    Line,
    /// The value holds until the next one.
    Step,
    /// Not at all: dots, with the name at each.
    Dots,
    /// A filled area down to zero.
    Area,
    /// A dashed line.
    Dash,
    /// Upright lines through the panel, whatever their height; the name stands at the first.
    Marks,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// What stands at its end.
    pub name: String,
    /// Its colour.
    pub hue: Hue,
    /// How its points are joined.
    pub join: Join,
    /// Across and up, in the units of the axes.
    pub points: Vec<(f64, f64)>,
}

/// An axis: its ends, and where it has words.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Places and their words.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero, with four or five round ticks.
    #[must_use]
    pub fn from_zero(high: f64, word: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = round_step(high / 4.0);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= high * 1.0001 {
            ticks.push((at, word(at)));
            at += step;
        }
        Self { low: 0.0, high: high * 1.05, ticks }
    }

    /// Where a value is, as a share of the axis.
    fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least so large.
fn round_step(least: f64) -> f64 {
    let mut decade = 1e-6;
    while decade * 10.0 <= least {
        decade *= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= least * 0.999).unwrap_or(least)
}

/// One panel of a picture.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What stands above it.
    pub name: String,
    /// Its height, in pixels.
    pub height: f64,
    /// The axis below it.
    pub across: Axis,
    /// The axis at its left.
    pub up: Axis,
    /// What is drawn, the first one lowest.
    pub series: Vec<Series>,
}

/// A whole picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The first line.
    pub title: String,
    /// The second line.
    pub words: String,
    /// What the horizontal axis is.
    pub below: String,
    /// From the top.
    pub panels: Vec<Panel>,
}

impl Picture {
    /// As SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let height = HEAD + FOOT + self.panels.iter().map(|panel| panel.height + GAP).sum::<f64>() - GAP;
        let told = escaped(&format!("{}. {}", self.title, self.words));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{told}\">\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
        );
        svg.push_str(&label(20.0, 24.0, "ink title", "start", &self.title));
        svg.push_str(&label(20.0, 42.0, "soft", "start", &self.words));
        let mut top = HEAD;
        for panel in &self.panels {
            svg.push_str(&panel.draw(top));
            top += panel.height + GAP;
        }
        let foot = height - 8.0;
        svg.push_str(&label(f64::midpoint(EDGES.0, EDGES.1), foot, "soft", "middle", &self.below));
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        EDGES.0 + (EDGES.1 - EDGES.0) * self.across.place(value)
    }

    fn y(&self, top: f64, value: f64) -> f64 {
        top + self.height * (1.0 - self.up.place(value))
    }

    fn draw(&self, top: f64) -> String {
        let mut svg = label(EDGES.0, top - 8.0, "soft", "start", &self.name);
        for (at, word) in &self.up.ticks {
            let y = self.y(top, *at);
            write(&mut svg, format_args!("<path class=\"grid\" d=\"M{} {y:.1}H{}\"/>\n", EDGES.0, EDGES.1));
            svg.push_str(&label(EDGES.0 - 8.0, y + 4.0, "soft", "end", word));
        }
        for (at, word) in &self.across.ticks {
            svg.push_str(&label(self.x(*at), top + self.height + 18.0, "soft", "middle", word));
        }
        let mut names: Vec<(f64, &Series)> = Vec::new();
        for series in &self.series {
            svg.push_str(&self.series(series, top));
            if let Some((_, last)) = series.points.last().filter(|_| !matches!(series.join, Join::Dots | Join::Marks)) {
                names.push((self.y(top, *last), series));
            }
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut lowest = f64::NEG_INFINITY;
        for (y, series) in names {
            let y = y.max(lowest + NAME_HEIGHT);
            lowest = y;
            let class =
                if series.join == Join::Area { "soft".to_owned() } else { format!("{}i end", series.hue.class()) };
            svg.push_str(&label(EDGES.1 + 6.0, y + 4.0, &class, "start", &series.name));
        }
        svg
    }

    fn series(&self, series: &Series, top: f64) -> String {
        match series.join {
            Join::Dots => self.dots(series, top),
            Join::Marks => self.marks(series, top),
            _ => self.path(series, top),
        }
    }

    fn dots(&self, series: &Series, top: f64) -> String {
        let class = series.hue.class();
        let mut svg = String::new();
        for (x, y) in &series.points {
            let (x, y) = (self.x(*x), self.y(top, *y));
            write(&mut svg, format_args!("<circle class=\"{class}i\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n"));
            svg.push_str(&label(x + 7.0, y + 4.0, &format!("{class}i"), "start", &series.name));
        }
        svg
    }

    fn marks(&self, series: &Series, top: f64) -> String {
        let class = series.hue.class();
        let mut svg = String::new();
        for (index, (x, _)) in series.points.iter().enumerate() {
            let (x, floor) = (self.x(*x), top + self.height);
            write(&mut svg, format_args!("<path class=\"dash {class}\" d=\"M{x:.1} {top:.1}V{floor:.1}\"/>\n"));
            if index == 0 {
                svg.push_str(&label(x + 4.0, top + 10.0, &format!("{class}i"), "start", &series.name));
            }
        }
        svg
    }

    fn path(&self, series: &Series, top: f64) -> String {
        let class = series.hue.class();
        let mut svg = String::new();
        let Some(first) = series.points.first() else { return svg };
        let mut path = String::new();
        let mut last = f64::NAN;
        for (x, y) in &series.points {
            let (x, y) = (self.x(*x), self.y(top, *y));
            match series.join {
                _ if last.is_nan() => write(&mut path, format_args!("M{x:.1} {y:.1}")),
                // A step that stays on its level says nothing new.
                Join::Step if (y - last).abs() < 0.05 => continue,
                Join::Step => write(&mut path, format_args!("H{x:.1}V{y:.1}")),
                _ => write(&mut path, format_args!("L{x:.1} {y:.1}")),
            }
            last = y;
        }
        if series.join == Join::Step {
            write(&mut path, format_args!("H{:.1}", self.x(series.points.last().unwrap_or(first).0)));
        }
        if series.join == Join::Area {
            let ends = (self.x(series.points.last().unwrap_or(first).0), self.x(first.0));
            let floor = top + self.height;
            write(&mut path, format_args!("L{:.1} {floor:.1}L{:.1} {floor:.1}Z", ends.0, ends.1));
        }
        let class = match series.join {
            Join::Area => "area".to_owned(),
            Join::Dash => format!("dash {class}"),
            _ => format!("line {class}"),
        };
        write(&mut svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>\n"));
        svg
    }
}

/// Writing into a string cannot fail.
fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        let axis = Axis::from_zero(9.0, |value| format!("{value:.0}"));
        let words: Vec<&str> = axis.ticks.iter().map(|tick| tick.1.as_str()).collect();
        assert_eq!(words, ["0", "5"]);
        let axis = Axis::from_zero(0.04, |value| format!("{value:.2}"));
        assert_eq!(axis.ticks.len(), 5);
    }

    #[test]
    fn a_step_goes_across_before_it_goes_up_and_names_do_not_meet() {
        let series = |name: &str, points: Vec<(f64, f64)>| Series {
            name: name.to_owned(),
            hue: Hue::Arbiter,
            join: Join::Step,
            points,
        };
        let axis = || Axis { low: 0.0, high: 10.0, ticks: Vec::new() };
        let phases = vec![(1.0, 0.0), (2.0, 0.0)];
        let marks = Series { name: "phase".to_owned(), hue: Hue::Quiet, join: Join::Marks, points: phases };
        let panel = Panel {
            name: "pods < 10".to_owned(),
            height: 100.0,
            across: axis(),
            up: axis(),
            series: vec![
                series("one", vec![(0.0, 0.0), (5.0, 10.0), (10.0, 10.0)]),
                series("two", vec![(0.0, 10.0)]),
                marks,
            ],
        };
        let picture =
            Picture { title: "A & B".to_owned(), words: String::new(), below: "hours".to_owned(), panels: vec![panel] };
        let svg = picture.svg();
        assert!(svg.contains("M64.0 176.0H342.0V76.0H620.0"), "{svg}");
        assert_eq!(svg.matches("class=\"dash c\"").count(), 2, "{svg}");
        assert!(svg.contains("M119.6 76.0V176.0"), "{svg}");
        assert!(svg.contains("A &amp; B") && svg.contains("pods &lt; 10"));
        assert!(svg.contains("y=\"80.0\"") && svg.contains("y=\"94.0\""), "{svg}");
    }
}
