//! The report of a simulation: one HTML file that opens anywhere, without a network.
//!
//! A [`Sampler`] watches one run and keeps what a plot needs of it ([`Panel`]); [`render`] puts panels, scores,
//! findings and assumptions into one page. Plotting is plotly.js, which the `plotly` crate carries; this room has only
//! the page around it (`page/`).
//!
//! Must not: read a clock or a file, or call out of the page (a content policy in the page forbids every connection).
//!
//! Invariant: the same runs give the same bytes; the page stays under [`MAX_BYTES`] however many runs there are.

pub mod draw;
mod findings;
mod page;
mod panel;
mod sampler;
mod text;

#[cfg(test)]
mod tests;

pub use findings::{Finding, Watch, findings, worth_of_signals};
pub use page::render;
pub use panel::{Panel, Sizes, meaning};
pub use sampler::Sampler;
pub use text::{assumptions, unknowns};

use crate::units::Seconds;

/// The page is never larger: 8 MiB open quickly everywhere and pass as an attachment.
pub const MAX_BYTES: usize = 8 << 20;

/// Everything that a report shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The command that made it, to be run again.
    pub command: String,
    /// Runs that may be averaged together: long traces, and apart from them the tiled ones.
    pub groups: Vec<Group>,
    /// What was played, with the plots of the first seed.
    pub workloads: Vec<Workload>,
    /// Workloads that were played but are not plotted, for the page's size.
    pub left_out: usize,
    /// What is restless, fights or fails, by workload and controller.
    pub findings: Vec<Finding>,
    /// What the scores rest on: a name and its value.
    pub assumptions: Vec<(String, String)>,
    /// What the simulation cannot know.
    pub unknowns: Vec<String>,
    /// How well the plant reproduces what a recording shows; empty for bare traces.
    pub calibration: Vec<(String, String)>,
    /// The policy to apply.
    pub policy: String,
}

/// Runs that are averaged together.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Who won, by how much, at what risk.
    pub sentence: String,
    /// Heads of the score table.
    pub heads: Vec<String>,
    /// One row per controller.
    pub rows: Vec<Vec<Cell>>,
    /// Heads and rows of the table by trace; empty with one trace.
    pub by_trace: (Vec<String>, Vec<Vec<Cell>>),
    /// Where each controller stands between cost and violations.
    pub points: Vec<Point>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Whether it is the best of its column.
    pub best: bool,
}

/// A controller in the plane of cost and violations: means over seeds and traces.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// Name of the controller.
    pub name: String,
    /// Price of the requests, in $/day.
    pub cost: f64,
    /// Share of requests over the objective; none without requests.
    pub over: Option<f64>,
    /// Cost and late work together, in $/day.
    pub j: f64,
}

/// One load under all controllers.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Name of the load.
    pub name: String,
    /// Time within which a request counts as good.
    pub objective: Seconds,
    /// Share of requests that are to be good.
    pub quantile: f64,
    /// How long it plays.
    pub duration: Seconds,
    /// The part at the beginning that is not scored.
    pub warmup: Seconds,
    /// What was seen of the first seed, by controller.
    pub panels: Vec<Panel>,
}
