//! KEDA's own half: it moves a workload between zero and one, nothing else. Above that an HPA decides.
//!
//! Pure; times are seconds.

/// What a `ScaledObject` says of activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// The trigger is active above this value, not at it.
    pub threshold: f64,
    /// `pollingInterval`, seconds.
    pub polling_interval: f64,
    /// `cooldownPeriod`, seconds: how long nothing must have been active before the count goes to zero.
    pub cooldown: f64,
}

impl Default for Activation {
    /// The API's defaults.
    fn default() -> Self {
        Self { threshold: 0.0, polling_interval: 30.0, cooldown: 300.0 }
    }
}

/// The scale loop of one `ScaledObject`.
#[derive(Clone, Debug, PartialEq)]
pub struct Executor {
    activation: Activation,
    /// `minReplicaCount`.
    min: i32,
    next_poll: f64,
    last_active: Option<f64>,
}

impl Executor {
    /// A loop that polls at once.
    #[must_use]
    pub const fn new(activation: Activation, min: i32) -> Self {
        Self { activation, min, next_poll: f64::NEG_INFINITY, last_active: None }
    }

    /// The count that is written at `now`; none between polls and when the HPA's stands.
    pub fn poll(&mut self, now: f64, current: i32, value: f64) -> Option<i32> {
        if now < self.next_poll {
            return None;
        }
        self.next_poll = now + self.activation.polling_interval;
        if value > self.activation.threshold {
            self.last_active = Some(now);
            return (current == 0).then_some(self.min.max(1));
        }
        if current > 0 && self.min == 0 {
            let cooled = self.last_active.is_none_or(|last| last + self.activation.cooldown < now);
            return cooled.then_some(0);
        }
        (current < self.min).then_some(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_comes_after_the_cooldown_and_ends_at_the_next_poll() {
        let mut executor = Executor::new(Activation::default(), 0);
        assert_eq!(executor.poll(0.0, 3, 7.0), None);
        // Nothing waits any more: five minutes after the last activity, at a poll.
        assert_eq!(executor.poll(30.0, 3, 0.0), None);
        assert_eq!(executor.poll(300.0, 3, 0.0), None);
        assert_eq!(executor.poll(315.0, 3, 0.0), None);
        assert_eq!(executor.poll(330.0, 3, 0.0), Some(0));
        // Work comes between polls and waits for the next one.
        assert_eq!(executor.poll(345.0, 0, 5.0), None);
        assert_eq!(executor.poll(360.0, 0, 5.0), Some(1));
    }

    #[test]
    fn activation_is_strict_and_a_minimum_is_kept() {
        let activation = Activation { threshold: 5.0, ..Activation::default() };
        assert_eq!(Executor::new(activation, 0).poll(0.0, 0, 5.0), None);
        assert_eq!(Executor::new(activation, 0).poll(0.0, 0, 5.1), Some(1));
        assert_eq!(Executor::new(activation, 2).poll(0.0, 0, 6.0), Some(2));
        assert_eq!(Executor::new(activation, 2).poll(0.0, 1, 0.0), Some(2));
        assert_eq!(Executor::new(activation, 2).poll(0.0, 3, 0.0), None);
        // Never active since it was created: zero at once.
        assert_eq!(Executor::new(activation, 0).poll(0.0, 3, 0.0), Some(0));
    }
}
