//! `behavior` of an HPA: how long to wait and how far to go, by direction.
//!
//! Pure: rules, the steps that were made, and the limit that follows from both. Times are seconds.

use super::convert::to_i32;

/// Which policy of several decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Select {
    /// The one that allows most change.
    #[default]
    Max,
    /// The one that allows least.
    Min,
    /// None: the direction is closed.
    Disabled,
}

/// What a step is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepUnit {
    /// Pods.
    Pods,
    /// Percent of the count at the period's start.
    Percent,
}

/// So much change in a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepPolicy {
    /// Unit of the value.
    pub unit: StepUnit,
    /// Pods or percent.
    pub value: i32,
    /// Length of the period, seconds.
    pub period: f64,
}

/// One direction as the user writes it: what is absent is defaulted, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenRules {
    /// `stabilizationWindowSeconds`.
    pub window: Option<f64>,
    /// `selectPolicy`.
    pub select: Option<Select>,
    /// `policies`; replaces the default ones.
    pub policies: Option<Vec<StepPolicy>>,
}

/// One direction with everything resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// How far back recommendations are looked at, seconds.
    pub window: f64,
    /// Which policy decides.
    pub select: Select,
    /// Policies.
    pub policies: Vec<StepPolicy>,
}

impl Rules {
    /// The longest period: older steps cannot matter.
    fn longest_period(&self) -> f64 {
        self.policies.iter().map(|policy| policy.period).fold(0.0, f64::max)
    }
}

/// Both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Growing.
    pub up: Rules,
    /// Shrinking.
    pub down: Rules,
}

/// Default policies' period.
const PERIOD: f64 = 15.0;

impl Behavior {
    /// What is written with the API's defaults for what is not: up at once, by four pods or to the double in 15 s; down
    /// after the controller's window, without a limit.
    #[must_use]
    pub fn defaulted(up: &WrittenRules, down: &WrittenRules, downscale_window: f64) -> Self {
        let step = |unit, value| StepPolicy { unit, value, period: PERIOD };
        let rules = |written: &WrittenRules, window: f64, policies: &[StepPolicy]| Rules {
            window: written.window.unwrap_or(window),
            select: written.select.unwrap_or_default(),
            policies: written.policies.clone().unwrap_or_else(|| policies.to_vec()),
        };
        Self {
            up: rules(up, 0.0, &[step(StepUnit::Pods, 4), step(StepUnit::Percent, 100)]),
            down: rules(down, downscale_window, &[step(StepUnit::Percent, 100)]),
        }
    }
}

/// Steps that were made, by direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    up: Vec<Step>,
    down: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    at: f64,
    pods: i32,
}

impl Steps {
    /// Remembers a step, in the place of one that no policy looks at any more if there is one.
    pub fn store(&mut self, behavior: &Behavior, from: i32, to: i32, now: f64) {
        let (steps, rules) = if to > from { (&mut self.up, &behavior.up) } else { (&mut self.down, &behavior.down) };
        let cutoff = now - rules.longest_period();
        let step = Step { at: now, pods: to.abs_diff(from).cast_signed() };
        match steps.iter_mut().rfind(|step| step.at < cutoff) {
            Some(old) => *old = step,
            None => steps.push(step),
        }
    }

    /// The count at the start of a period that ends now.
    fn start_of(&self, period: f64, current: i32, now: f64) -> i32 {
        let recent = |steps: &[Step]| -> i32 {
            steps.iter().filter(|step| step.at > now - period).fold(0, |sum, step| sum.wrapping_add(step.pods))
        };
        current.wrapping_sub(recent(&self.up)).wrapping_add(recent(&self.down))
    }

    /// The highest count that the rules for growing allow now; never below the current one.
    #[must_use]
    pub fn ceiling(&self, rules: &Rules, current: i32, now: f64) -> i32 {
        let allowed = rules.policies.iter().map(|policy| {
            let start = self.start_of(policy.period, current, now);
            match policy.unit {
                StepUnit::Pods => start.wrapping_add(policy.value),
                StepUnit::Percent => to_i32((f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil()),
            }
        });
        let limit = match rules.select {
            Select::Disabled => Some(current),
            Select::Max => allowed.max(),
            Select::Min => allowed.min(),
        };
        limit.unwrap_or(current).max(current)
    }

    /// The lowest count that the rules for shrinking allow now; never above the current one.
    #[must_use]
    pub fn floor(&self, rules: &Rules, current: i32, now: f64) -> i32 {
        let allowed = rules.policies.iter().map(|policy| {
            let start = self.start_of(policy.period, current, now);
            match policy.unit {
                StepUnit::Pods => start.wrapping_sub(policy.value),
                StepUnit::Percent => to_i32(f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)),
            }
        });
        let limit = match rules.select {
            Select::Disabled => Some(current),
            Select::Max => allowed.min(),
            Select::Min => allowed.max(),
        };
        limit.unwrap_or(current).min(current)
    }
}
