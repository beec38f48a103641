//! The constants of the decision model that were chosen by measurement, as data.
//!
//! A policy's author does not see them: they are the same for every workload, and `arbiter simulate --tuning NAME=VALUE`
//! changes them only to measure what each is worth (docs/model.md has the table). Constants that follow from a
//! definition, a platform's rule or a unit stay beside the term that uses them.
//!
//! Invariant: the default is what is shipped.

use serde::{Deserialize, Serialize};

/// Constants of the decision model. Times are seconds, shares are of one, sizes are cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tuning {
    /// Headroom on demand where capacity itself has none.
    pub headroom: f64,
    /// Share of what is known of a workload's cost that a tick at peak load replaces.
    pub forget: f64,
    /// Demand is never below this share of what usage proves …
    pub proved_low: f64,
    /// … nor above this multiple of it.
    pub proved_high: f64,
    /// Utilization targets are planned this much over: half of HPA's tolerance.
    pub utilization_slack: f64,
    /// Gain of the latency feedback per tick of 15 s.
    pub feedback_gain: f64,
    /// Share of the latency objective that is aimed at.
    pub feedback_aim: f64,
    /// Most that one tick's violations count, in objectives.
    pub feedback_clip: f64,
    /// Share of a queue's target that is planned for, so that noise does not make it late.
    pub backlog_share: f64,
    /// A worker leaves when the queue can store what it did for this long, seconds.
    pub backlog_store: f64,
    /// More replicas wait this long for what larger pods do against a shortage.
    pub relief: f64,
    /// Idle time before a replica leaves when sizes follow demand often.
    pub hold_trimmed: f64,
    /// … when they follow it now and then.
    pub hold_some_trims: f64,
    /// … when they do not.
    pub hold_plain: f64,
    /// Seconds of the present cost that another size must have saved before it is taken.
    pub resize_after: f64,
    /// Half-life of what another size would have saved.
    pub regret_half_life: f64,
    /// `max` replicas of a size must carry the known peak with this margin.
    pub peak_margin: f64,
    /// Largest size that is chosen unless the policy names a larger one.
    pub largest: f64,
    /// A pod twice as large leaves this share more of a node unusable.
    pub fragmentation: f64,
    /// Smallest trimmed size over the nominal one.
    pub trim_floor: f64,
    /// A lower need must last this long before a trim …
    pub trim_after: f64,
    /// … and be lower by this share.
    pub trim_gain: f64,
    /// Seconds of the asked size that must have been wasted before it is trimmed, at 96 trims a day.
    pub trim_price: f64,
    /// Largest boost over the nominal size.
    pub boost: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            headroom: 0.10,
            forget: 0.004,
            proved_low: 0.85,
            proved_high: 1.2,
            utilization_slack: 1.05,
            feedback_gain: 0.0005,
            feedback_aim: 0.8,
            feedback_clip: 10.0,
            backlog_share: 0.7,
            backlog_store: 600.0,
            relief: 90.0,
            hold_trimmed: 2700.0,
            hold_some_trims: 900.0,
            hold_plain: 600.0,
            resize_after: 600.0,
            regret_half_life: 172_800.0,
            peak_margin: 1.5,
            largest: 4.0,
            fragmentation: 0.01,
            trim_floor: 0.25,
            trim_after: 120.0,
            trim_gain: 0.12,
            trim_price: 80.0,
            boost: 2.0,
        }
    }
}

impl Tuning {
    /// The same with `NAME=VALUE` applied; the error is a sentence that names what there is.
    pub fn with(self, assignment: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("--tuning {assignment}: {why}");
        let (name, value) = assignment.split_once('=').ok_or_else(|| refuse("write NAME=VALUE"))?;
        let value: f64 = value.parse().map_err(|_| refuse("the value is not a number"))?;
        let mut all = serde_json::to_value(self).map_err(|error| refuse(&error.to_string()))?;
        all[name] = value.into();
        serde_json::from_value(all).map_err(|error| refuse(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::Tuning;

    #[test]
    fn a_constant_is_changed_by_its_name_and_an_unknown_one_is_refused() {
        let tuned = Tuning::default().with("holdPlain=300").expect("it is there");
        assert_eq!(tuned, Tuning { hold_plain: 300.0, ..Tuning::default() });
        let refused = Tuning::default().with("hold=3").expect_err("there is no such constant");
        assert!(refused.contains("unknown field `hold`") && refused.contains("holdPlain"), "{refused}");
        assert!(Tuning::default().with("holdPlain").is_err());
        assert!(Tuning::default().with("holdPlain=soon").is_err());
    }
}
