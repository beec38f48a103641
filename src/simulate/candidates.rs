//! What a controller's name stands for in a run: usually one controller, sometimes several of which the best one counts.
//!
//! `hpa-hindsight` is the HPA that someone would have configured who had tried 20 settings on this very load: pods of
//! 0.5, 1, 2 or 4 cores, at a target of 50 to 90 %. No one can know them beforehand; a controller that beats it beats
//! tuning. `keda-hindsight` is the same for a queue: the best of 36 settings of KEDA. `static` is no autoscaling at all: the constant number of the template's pods that suits the load best, in
//! hindsight too (of a queue's: as many as the policy allows).

use super::{
    Action, Controller, PodAction, Scenario, SimulateError, View, controller,
    oracle::Knowledge,
    rivals::{Answer, Hpa, keda_set_to},
};
use crate::{
    decide::Reason,
    units::{Cores, Replicas},
};

/// Names that only hindsight can give a controller to.
pub(super) const HINDSIGHT: [&str; 3] = ["hpa-hindsight", "static", "keda-hindsight"];
/// CPU requests and targets that `hpa-hindsight` tries: what is usual for a web service, and twice as much either way.
const REQUESTS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
const TARGETS: [i32; 5] = [50, 60, 70, 80, 90];
/// What `keda-hindsight` tries: pods of half, the whole and twice the template's CPU; as the target what such a pod works
/// off in a share of the deadline; a calm before the count falls, which is the cooldown before zero too (upstream's
/// default for both is 300 s).
const POD_FACTORS: [f64; 3] = [0.5, 1.0, 2.0];
const DEADLINE_SHARES: [f64; 4] = [0.15, 0.3, 0.5, 0.8];
const CALMS: [f64; 3] = [30.0, 120.0, 300.0];

/// A controller, and the scenario it is to be played in.
pub struct Candidate {
    /// The scenario, perhaps with another pod template.
    pub scenario: Scenario,
    /// The controller.
    pub controller: Box<dyn Controller + Send>,
}

/// Number of candidates behind a name.
#[must_use]
pub fn candidate_count(name: &str) -> usize {
    match HINDSIGHT.iter().position(|hindsight| *hindsight == name) {
        Some(0) => REQUESTS.len() * TARGETS.len(),
        Some(2) => POD_FACTORS.len() * DEADLINE_SHARES.len() * CALMS.len(),
        _ => 1,
    }
}

/// One of the candidates behind a name, by its index; the one with the lowest J counts.
pub fn candidate(name: &str, index: usize, scenario: &Scenario, seed: u64) -> Result<Candidate, SimulateError> {
    let mut scenario = scenario.clone();
    let range = scenario.policy.replicas;
    let controller: Box<dyn Controller + Send> = if name == HINDSIGHT[0] {
        scenario.service.request_cores = Cores(REQUESTS[index / TARGETS.len() % REQUESTS.len()]);
        Box::new(Hpa::cpu(name, TARGETS[index % TARGETS.len()], range))
    } else if name == HINDSIGHT[1] {
        // Of a queue nothing is known beforehand: as many as may be.
        let best = Knowledge::new(&scenario, seed).map(|knowledge| knowledge.best_constant());
        Box::new(Static { replicas: best.map_or(range.max, Replicas) })
    } else if name == HINDSIGHT[2] {
        let (calm, rest) = (CALMS[index % CALMS.len()], index / CALMS.len());
        let share = DEADLINE_SHARES[rest % DEADLINE_SHARES.len()];
        let factor = POD_FACTORS[rest / DEADLINE_SHARES.len() % POD_FACTORS.len()];
        scenario.service.request_cores = Cores(scenario.service.request_cores.get() * factor);
        Box::new(keda_set_to(name, &scenario, share, calm)?)
    } else {
        controller(name, &scenario)?
    };
    Ok(Candidate { scenario, controller })
}

/// A fixed number of pods.
struct Static {
    replicas: Replicas,
}

impl Controller for Static {
    fn name(&self) -> &'static str {
        HINDSIGHT[1]
    }

    fn tick(&mut self, view: &View<'_>) -> Action {
        // As if somebody had set minimum and maximum to the same count.
        let (reason, message) = (Reason::LimitedByMin, format!("{} replicas, always", self.replicas));
        Answer { replicas: self.replicas, reason, message }.action(view, PodAction::NewPods(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::simulate::{Load, Run, TraceOptions};

    /// Half a day whose second half is twice as busy.
    fn scenario() -> Scenario {
        let csv = "timestamp_s,rps\n0,10\n21600,10\n21660,20\n43140,20\n";
        let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
        let warmup = crate::units::Seconds(0.0);
        let mut scenario = Scenario::from_trace(load, TraceOptions { warmup, ..TraceOptions::default() });
        scenario.duration = crate::units::Seconds(43_200.0);
        scenario
    }

    fn j(scenario: &Scenario, controller: Box<dyn Controller + Send>) -> f64 {
        let mut run = Run::new(scenario, controller, 1);
        while run.advance().is_some() {}
        run.score().j.get()
    }

    #[test]
    fn hindsight_tries_twenty_settings() {
        let settings: BTreeSet<String> = (0..candidate_count("hpa-hindsight"))
            .map(|index| {
                let candidate = candidate("hpa-hindsight", index, &scenario(), 1).expect("there is one");
                format!("{:?} {}", candidate.scenario.service.request_cores, TARGETS[index % TARGETS.len()])
            })
            .collect();
        assert_eq!(settings.len(), 20);
        assert_eq!(candidate_count("hpa70"), 1);
    }

    #[test]
    fn hindsight_tries_36_settings_of_keda_where_there_is_a_queue() {
        let mut scenario = scenario();
        assert!(candidate("keda-hindsight", 0, &scenario, 1).is_err());
        scenario.world.queue = Some(crate::simulate::Queue { deadline: crate::units::Seconds(300.0) });
        let settings: BTreeSet<String> = (0..candidate_count("keda-hindsight"))
            .map(|index| {
                let Candidate { scenario, controller } =
                    candidate("keda-hindsight", index, &scenario, 1).expect("there is a queue");
                // Played, two settings can be alike; what they are differs.
                assert_eq!(controller.name(), "keda-hindsight");
                let rest = index / CALMS.len();
                let share = DEADLINE_SHARES[rest % DEADLINE_SHARES.len()];
                format!("{:?} {share} {}", scenario.service.request_cores, CALMS[index % CALMS.len()])
            })
            .collect();
        assert_eq!(settings.len(), 36);
    }

    #[test]
    fn the_constant_count_is_the_best_one() {
        let scenario = scenario();
        let best = Knowledge::new(&scenario, 1).expect("no queue").best_constant();
        let played = |count: u32| j(&scenario, Box::new(Static { replicas: Replicas(count) }));
        let chosen = candidate("static", 0, &scenario, 1).expect("there is one");
        let least = j(&scenario, chosen.controller);
        assert_eq!(least, played(best));
        assert!(least < played(best - 2) && least < played(best + 2), "{best} pods");
    }
}
