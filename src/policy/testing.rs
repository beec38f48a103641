//! The policy that unit tests start from; each changes what it is about.

use super::{
    Behavior, ContainerRules, Levers, Mode, Objective, OnRival, Policy, PolicyKey, Preference, Prices, ReplicaRange,
    ResizeRules, Target, Tuning,
};
use crate::units::Replicas;

/// `shop/web` on the Deployment of its name, in mode Auto: every lever, one to ten pods, no signals.
pub(crate) fn web() -> Policy {
    Policy {
        key: PolicyKey { namespace: "shop".into(), name: "web".into() },
        target: Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        mode: Mode::Auto,
        levers: Levers::ALL,
        objective: Objective {
            latency: None,
            backlog: None,
            utilization: 0.7,
            utilization_given: false,
            preference: Preference::Balanced,
        },
        replicas: ReplicaRange { min: Replicas(1), max: Replicas(10) },
        containers: ContainerRules::default(),
        signals: Vec::new(),
        behavior: Behavior::default(),
        resize: ResizeRules::default(),
        schedules: Vec::new(),
        on_signal_loss: None,
        on_rival: OnRival::Floor,
        takes_over_from_git: false,
        prices: Prices::default(),
        tuning: Tuning::default(),
    }
}
