//! The demo: one recorded day played under a rival and under arbiter, written to the same board as a controller's
//! decisions would be, and shown on the same page.
//!
//! [`Demo`] plays; [`Desk`] is what the page sees and turns (pause, speed). Both sides get the same load, seed and
//! metrics; what is counted is what really happened in the simulated cluster, not what a controller believed.
//!
//! It must not decide and must not touch the simulated cluster: it only asks for the next tick.

use std::sync::Arc;

use crate::{
    policy::PolicyKey,
    serve::{Board, BoardMode, Header, Point, PolicyMeta},
    simulate::{Controller, Run, Scenario, TICK, Tick, Truth},
    units::Seconds,
};

mod api;
mod desk;
mod player;
#[cfg(test)]
mod tests;

pub use api::router;
pub(crate) use desk::percent;
pub use desk::{Desk, SideStatus, Status};
pub use player::play;

/// Namespace of the demo's policies.
const NAMESPACE: &str = "demo";

/// One side of the comparison, before it starts.
pub struct Contestant {
    /// Name of its policy on the board.
    pub name: String,
    /// Title on the page.
    pub title: String,
    /// What it is, in a line.
    pub subtitle: String,
    /// The controller itself.
    pub controller: Box<dyn Controller + Send>,
}

struct Side {
    key: PolicyKey,
    title: String,
    subtitle: String,
    meta: PolicyMeta,
    run: Run,
    truth: Truth,
}

/// The two runs, tick by tick.
pub struct Demo {
    board: Arc<Board>,
    desk: Arc<Desk>,
    sides: Vec<Side>,
}

impl Demo {
    /// A day at its beginning. The first contestant is the rival, the second is compared with it. `source` credits
    /// the recording; `speed` is cluster seconds per second of the reader's time.
    #[must_use]
    pub fn new(scenario: &Scenario, contestants: Vec<Contestant>, seed: u64, source: String, speed: f64) -> Self {
        let board = Arc::new(Board::new(super::Limits::DEMO));
        let sides: Vec<Side> = contestants
            .into_iter()
            .map(|c| Side {
                key: PolicyKey { namespace: NAMESPACE.to_owned(), name: c.name },
                title: c.title,
                subtitle: c.subtitle,
                meta: PolicyMeta::of(&scenario.policy),
                run: Run::new(scenario, c.controller, seed),
                truth: Truth::default(),
            })
            .collect();
        let start = sides.first().map_or(0, |side| side.run.now().as_millisecond());
        let desk = Desk::new(Status {
            start,
            end: start + milliseconds(scenario.duration),
            at: start,
            speed,
            usual_speed: speed,
            paused: false,
            finished: false,
            latency_target: scenario.policy.objective.latency.as_ref().map(|l| l.target),
            source,
            sentence: String::new(),
            sides: sides.iter().map(Side::status).collect(),
        });
        let demo = Self { board, desk: Arc::new(desk), sides };
        demo.board.set_header(Header { mode: BoardMode::Demo, ..Header::default() });
        demo
    }

    /// The board that it writes.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// What the page sees and turns.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Plays one tick of 15 s on every side; false when the day is over.
    pub fn step(&mut self) -> bool {
        let mut played = false;
        for side in &mut self.sides {
            let Some(tick) = side.run.advance() else { continue };
            played = true;
            side.truth = tick.truth;
            self.board.record_point(&side.key, side.meta.clone(), point(&tick), &tick.decision);
        }
        self.publish(!played);
        played
    }

    fn publish(&self, finished: bool) {
        let sides: Vec<SideStatus> = self.sides.iter().map(Side::status).collect();
        let at = self.sides.iter().map(|side| side.run.now()).min();
        if let Some(at) = at {
            self.board.set_header(Header { mode: BoardMode::Demo, last_tick: Some(at), ..Header::default() });
        }
        self.desk.publish(at.map_or(0, jiff::Timestamp::as_millisecond), sides, finished);
    }
}

impl Side {
    fn status(&self) -> SideStatus {
        SideStatus {
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            cost: self.truth.cost,
            pods_started: self.truth.pods_started,
            requests: self.truth.requests,
            requests_over_slo: self.truth.requests_over_slo,
            score: self.run.score(),
        }
    }
}

fn milliseconds(span: Seconds) -> i64 {
    let ticks = (span / TICK).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "a scenario lasts days, far from the end of an i64")]
    let ms = (ticks * TICK.get() * 1000.0) as i64;
    ms
}

/// What really happened, with the decision's own words.
fn point(tick: &Tick) -> Point {
    let truth = &tick.truth;
    Point {
        at: tick.at,
        demand: Some(truth.demand_cores),
        planned: tick.decision.explain.planned_cores,
        capacity: Some(truth.capacity_cores),
        replicas: tick.snapshot.replicas.spec,
        ready: truth.ready,
        desired: tick.decision.replicas,
        pod_cores: (truth.replicas.0 > 0).then_some(truth.pod_request_cores),
        latency: truth.latency_seconds,
        latency_target: None,
        violation: Some(truth.violation_ratio),
        backlog: None,
        reason: tick.decision.reason,
        message: Arc::from(tick.decision.message.as_str()),
    }
}
