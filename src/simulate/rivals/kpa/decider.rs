//! Knative's decider: two windows over a demand make a count of pods.
//!
//! In stable times the mean of 60 s decides; when the mean of the last 6 s asks for twice the pods that are ready, a
//! panic begins in which the count only grows, until the burst has been over for a stable window.
//!
//! Pure; times are seconds. Follows the documented behaviour and flags of `config-autoscaler`.

/// Flags of the autoscaler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flags {
    /// `stable-window`, seconds.
    pub stable_window: f64,
    /// `panic-window-percentage` of the stable window, seconds.
    pub panic_window: f64,
    /// `panic-threshold-percentage`: pods wanted over pods ready at which a panic begins.
    pub panic_threshold: f64,
    /// `max-scale-up-rate`: pods wanted over pods ready, at most, in one look.
    pub max_up_rate: f64,
    /// `max-scale-down-rate`: pods ready over pods wanted, at most, in one look.
    pub max_down_rate: f64,
    /// `tick-interval`, seconds: rates are by this.
    pub tick: f64,
    /// `scale-to-zero-grace-period`, seconds.
    pub grace: f64,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            stable_window: 60.0,
            panic_window: 6.0,
            panic_threshold: 2.0,
            max_up_rate: 1000.0,
            max_down_rate: 2.0,
            tick: 2.0,
            grace: 30.0,
        }
    }
}

/// Demand (requests per second, or requests at a time) over both windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Mean over the stable window.
    pub stable: f64,
    /// Mean over the panic window.
    pub panic: f64,
}

/// What is wanted, before bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Pods.
    pub pods: u32,
    /// Whether it panics.
    pub panicking: bool,
}

/// The decider of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decider {
    flags: Flags,
    /// Demand that one pod is to have.
    target: f64,
    panic_since: Option<f64>,
    most_in_panic: f64,
}

impl Decider {
    /// A decider with a target per pod (the utilization already taken off).
    #[must_use]
    pub const fn new(flags: Flags, target: f64) -> Self {
        Self { flags, target, panic_since: None, most_in_panic: 0.0 }
    }

    /// Its flags.
    #[must_use]
    pub const fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Looks once, `elapsed` seconds after the last look.
    pub fn look(&mut self, now: f64, elapsed: f64, ready: u32, demand: Demand) -> Wanted {
        let Flags { stable_window, panic_threshold, max_up_rate, max_down_rate, tick, .. } = self.flags;
        let ready = f64::from(ready.max(1));
        // Upstream looks every tick: between two looks here the rates applied several times.
        let looks = (elapsed / tick).max(1.0);
        let highest = (ready * crate::units::maths::pow(max_up_rate, looks)).ceil();
        let lowest = (ready / crate::units::maths::pow(max_down_rate, looks)).floor();
        let pods = |demand: f64| (demand / self.target).ceil();
        let limited = |pods: f64| pods.max(lowest).min(highest);
        let (stable, panic) = (limited(pods(demand.stable)), limited(pods(demand.panic)));
        if pods(demand.panic) / ready >= panic_threshold {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| since + stable_window < now) {
            self.panic_since = None;
            self.most_in_panic = 0.0;
        }
        let mut wanted = stable;
        if self.panic_since.is_some() {
            self.most_in_panic = self.most_in_panic.max(stable).max(panic);
            wanted = self.most_in_panic;
        }
        let pods = u32::try_from(super::super::super::whole(wanted)).unwrap_or(u32::MAX);
        Wanted { pods, panicking: self.panic_since.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(demand: f64) -> Demand {
        Demand { stable: demand, panic: demand }
    }

    #[test]
    fn the_stable_window_decides_in_quiet_times() {
        let mut decider = Decider::new(Flags::default(), 70.0);
        assert_eq!(decider.look(0.0, 2.0, 5, both(350.0)), Wanted { pods: 5, panicking: false });
        assert_eq!(decider.look(2.0, 2.0, 5, both(351.0)), Wanted { pods: 6, panicking: false });
        // Down by at most half in one look of 2 s; a longer time makes several of them.
        assert_eq!(decider.look(4.0, 2.0, 9, both(0.0)).pods, 4);
        assert_eq!(decider.look(19.0, 15.0, 9, both(0.0)).pods, 0);
        // From nothing it counts as if one pod were there.
        assert_eq!(decider.look(21.0, 2.0, 0, both(69.0)), Wanted { pods: 1, panicking: false });
    }

    #[test]
    fn a_panic_only_grows_and_ends_a_stable_window_after_the_burst() {
        let mut decider = Decider::new(Flags::default(), 70.0);
        let burst = Demand { stable: 400.0, panic: 1400.0 };
        assert_eq!(decider.look(0.0, 2.0, 10, burst), Wanted { pods: 20, panicking: true });
        assert_eq!(decider.look(30.0, 2.0, 20, both(140.0)), Wanted { pods: 20, panicking: true });
        assert_eq!(decider.look(60.0, 2.0, 20, both(140.0)), Wanted { pods: 20, panicking: true });
        assert_eq!(decider.look(60.5, 2.0, 20, both(140.0)), Wanted { pods: 10, panicking: false });
        // Just under twice the ready pods is no panic.
        assert!(!decider.look(62.0, 2.0, 10, Demand { stable: 400.0, panic: 1330.0 }).panicking);
    }
}
