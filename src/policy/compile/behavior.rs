//! `spec.behavior`: what an HPA would read, each direction by itself.

use super::Problems;
use crate::{
    api::{self, IntOrText, RateLimitType},
    policy::{Behavior, DirectionRules, RateLimit},
    units::{Quantity, Seconds},
};

/// Period of an HPA's default rate limits.
const DEFAULT_PERIOD: Seconds = Seconds(15.0);

/// What an HPA fills in for growth: no stabilization, the larger of 4 pods and 100 % per 15 s.
const UP: Defaults = Defaults {
    name: "scaleUp",
    stabilization: Seconds::ZERO,
    rates: &[
        RateLimit::Pods { value: 4, period: DEFAULT_PERIOD },
        RateLimit::Percent { value: 100, period: DEFAULT_PERIOD },
    ],
};

/// What an HPA fills in for shrinking: 300 s (its controller's flag), 100 % per 15 s.
const DOWN: Defaults = Defaults {
    name: "scaleDown",
    stabilization: Seconds(300.0),
    rates: &[RateLimit::Percent { value: 100, period: DEFAULT_PERIOD }],
};

/// Longest stabilization window of an HPA, in seconds.
const MAX_WINDOW: i32 = 3600;

/// Longest period of a rate limit of an HPA, in seconds.
const MAX_PERIOD: i32 = 1800;

struct Defaults {
    name: &'static str,
    stabilization: Seconds,
    rates: &'static [RateLimit],
}

pub(super) fn compile(given: Option<&api::Behavior>, problems: &mut Problems) -> Behavior {
    let Some(given) = given else { return Behavior::default() };
    Behavior {
        scale_up: direction(given.scale_up.as_ref(), &UP, problems),
        scale_down: direction(given.scale_down.as_ref(), &DOWN, problems),
    }
}

/// One direction; `{}` asks for nothing and is as good as absent.
fn direction(
    given: Option<&api::DirectionRules>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<DirectionRules> {
    let given = given.filter(|given| **given != api::DirectionRules::default())?;
    let path = format!("spec.behavior.{}", defaults.name);
    let stabilization = given.stabilization_window_seconds.map_or(defaults.stabilization, |seconds| {
        if !(0..=MAX_WINDOW).contains(&seconds) {
            problems.invalid(
                format!("{path}.stabilizationWindowSeconds"),
                format!("is {seconds}, and must be from 0 to {MAX_WINDOW}"),
            );
        }
        Seconds(f64::from(seconds))
    });
    let rates = match &given.policies {
        None => defaults.rates.to_vec(),
        Some(policies) if policies.is_empty() => {
            problems.invalid(
                format!("{path}.policies"),
                "must not be empty: leave it out for the defaults, or close the direction with selectPolicy: Disabled",
            );
            Vec::new()
        }
        Some(policies) => policies
            .iter()
            .enumerate()
            .map(|(index, policy)| rate(policy, &format!("{path}.policies[{index}]"), problems))
            .collect(),
    };
    let tolerance = given.tolerance.as_ref().and_then(|text| tolerance(text, &format!("{path}.tolerance"), problems));
    Some(DirectionRules {
        stabilization: Some(stabilization),
        select: given.select_policy.unwrap_or_default(),
        rates,
        tolerance,
    })
}

fn rate(given: &api::RateLimit, path: &str, problems: &mut Problems) -> RateLimit {
    let value = u32::try_from(given.value).unwrap_or(0);
    if value == 0 {
        problems.invalid(format!("{path}.value"), format!("is {}, and must be at least 1", given.value));
    }
    if !(1..=MAX_PERIOD).contains(&given.period_seconds) {
        problems.invalid(
            format!("{path}.periodSeconds"),
            format!("is {}, and must be from 1 to {MAX_PERIOD}", given.period_seconds),
        );
    }
    let period = Seconds(f64::from(given.period_seconds));
    match given.type_ {
        RateLimitType::Pods => RateLimit::Pods { value, period },
        RateLimitType::Percent => RateLimit::Percent { value, period },
    }
}

fn tolerance(given: &IntOrText, path: &str, problems: &mut Problems) -> Option<f64> {
    let parsed = given.text().parse::<Quantity>().map_err(|error| error.to_string());
    let share = problems.take(path, parsed)?.as_f64();
    if (0.0..1.0).contains(&share) {
        return Some(share);
    }
    problems.invalid(path, format!("is {}, and must be a share from 0 to below 1, for example \"0.1\"", given.text()));
    None
}
