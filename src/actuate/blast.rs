//! How many pods of the whole cluster may be changed in one tick: the blast radius of a mistake.
//!
//! One budget for all policies. Growth comes first and does not starve: shrinking may use half of the budget and eviction a
//! twentieth of it, so that half is there for growth in every tick; and a policy whose growth found the budget spent has its
//! part of the next one set aside, in the order in which policies came to wait. So with a budget of B and W pods that wait
//! to grow, the last of them has its turn within ⌈W / B⌉ ticks, whatever else there is to do.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::policy::PolicyKey;

/// Pods that may be changed in a tick when nobody says otherwise. With a tick of 15 s, 5,000 pods take 12 minutes: time to
/// see what goes wrong and to pause it (an updater that evicted a cluster's pods at once is a known incident:
/// hjacobs/failure-stories 50). 100 requests in 15 s are a third of what all writes may be.
pub const PODS_PER_TICK: u32 = 100;

/// Share of the budget that shrinking may use.
const SHRINKING: u32 = 2;
/// Share of the budget that evictions may use; one is always allowed.
const EVICTIONS: u32 = 20;

/// What is done to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It grows.
    Grow,
    /// It shrinks.
    Shrink,
    /// It is evicted.
    Evict,
}

/// The budget.
#[derive(Debug)]
pub struct Blast {
    budget: u32,
    tick: Duration,
    began: Option<Instant>,
    used: u32,
    shrunk: u32,
    evicted: u32,
    /// Set aside for policies that waited.
    aside: BTreeMap<PolicyKey, u32>,
    /// Policies that found it spent: (turn, pods that they asked for in this tick).
    waiting: BTreeMap<PolicyKey, (u64, u32)>,
    turn: u64,
}

impl Blast {
    /// A budget of so many pods per tick; at least one.
    #[must_use]
    pub const fn new(pods: u32, tick: Duration) -> Self {
        Self {
            budget: if pods == 0 { 1 } else { pods },
            tick,
            began: None,
            used: 0,
            shrunk: 0,
            evicted: 0,
            aside: BTreeMap::new(),
            waiting: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Takes one pod of a policy from the budget, if it may be changed now.
    pub fn take(&mut self, key: &PolicyKey, change: Change, now: Instant) -> bool {
        self.roll(now);
        let set_aside: u32 = self.aside.values().sum();
        if change == Change::Grow
            && let Some(own) = self.aside.get_mut(key).filter(|own| **own > 0)
        {
            *own -= 1;
            self.used += 1;
            return true;
        }
        let part = match change {
            Change::Grow => true,
            Change::Shrink => self.shrunk < (self.budget / SHRINKING).max(1),
            Change::Evict => self.evicted < (self.budget / EVICTIONS).max(1),
        };
        if !part || self.used + set_aside >= self.budget {
            if change == Change::Grow {
                self.wait(key);
            }
            return false;
        }
        self.used += 1;
        match change {
            Change::Grow => {}
            Change::Shrink => self.shrunk += 1,
            Change::Evict => self.evicted += 1,
        }
        true
    }

    fn wait(&mut self, key: &PolicyKey) {
        let turn = self.turn;
        self.waiting.entry(key.clone()).or_insert((turn, 0)).1 += 1;
        self.turn += 1;
    }

    /// Begins the next tick's budget when this one's time is over.
    fn roll(&mut self, now: Instant) {
        if self.began.is_some_and(|began| now.saturating_duration_since(began) < self.tick) {
            return;
        }
        self.began = Some(now);
        (self.used, self.shrunk, self.evicted) = (0, 0, 0);
        self.aside.clear();
        let mut order: Vec<_> = self.waiting.iter().map(|(key, (turn, pods))| (*turn, key.clone(), *pods)).collect();
        order.sort();
        let mut left = self.budget;
        for (_, key, pods) in order {
            let own = pods.min(left);
            left -= own;
            // Who gets nothing and asked in the last tick keeps its turn; who gets its part loses it with this tick.
            if own > 0 || pods == 0 {
                self.waiting.remove(&key);
            }
            if own > 0 {
                self.aside.insert(key, own);
            }
        }
        for (_, pods) in self.waiting.values_mut() {
            *pods = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(15);

    fn key(name: &str) -> PolicyKey {
        PolicyKey { namespace: "shop".into(), name: name.into() }
    }

    /// How many of `pods` a policy gets.
    fn ask(blast: &mut Blast, name: &str, change: Change, pods: usize, now: Instant) -> usize {
        (0..pods).filter(|_| blast.take(&key(name), change, now)).count()
    }

    #[test]
    fn a_tick_is_bounded_over_all_policies() {
        let (mut blast, now) = (Blast::new(30, TICK), Instant::now());
        assert_eq!(ask(&mut blast, "a", Change::Grow, 20, now), 20);
        assert_eq!(ask(&mut blast, "b", Change::Grow, 20, now), 10);
        assert_eq!(ask(&mut blast, "c", Change::Shrink, 20, now), 0);
        assert_eq!(ask(&mut blast, "d", Change::Evict, 20, now), 0);
    }

    #[test]
    fn shrinking_and_evictions_leave_room_for_growth() {
        let (mut blast, now) = (Blast::new(40, TICK), Instant::now());
        assert_eq!(ask(&mut blast, "a", Change::Shrink, 100, now), 20);
        assert_eq!(ask(&mut blast, "a", Change::Evict, 100, now), 2);
        assert_eq!(ask(&mut blast, "b", Change::Grow, 100, now), 18);
        let (mut small, now) = (Blast::new(1, TICK), Instant::now());
        assert_eq!(ask(&mut small, "a", Change::Evict, 5, now), 1, "a budget of one still moves");
    }

    #[test]
    fn growth_that_waits_has_its_turn_whatever_comes_before_it() {
        let mut blast = Blast::new(10, TICK);
        let start = Instant::now();
        let mut served = BTreeMap::<&str, usize>::new();
        // Ten policies want five pods each; the first in every tick's order always wants as much as it can get.
        let names = ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
        for tick in 0..8 {
            let now = start + TICK * tick;
            *served.entry("a").or_default() += ask(&mut blast, "a", Change::Grow, 10, now);
            for name in names {
                let missing = 5 - served.get(name).copied().unwrap_or_default();
                *served.entry(name).or_default() += ask(&mut blast, name, Change::Grow, missing, now);
            }
        }
        for name in names {
            assert_eq!(served[name], 5, "{served:?}");
        }
    }

    #[test]
    fn what_was_set_aside_and_not_fetched_is_free_again() {
        let (mut blast, now) = (Blast::new(10, TICK), Instant::now());
        ask(&mut blast, "a", Change::Grow, 10, now);
        ask(&mut blast, "b", Change::Grow, 10, now);
        assert_eq!(ask(&mut blast, "a", Change::Grow, 10, now + TICK), 0, "b waited");
        assert_eq!(ask(&mut blast, "a", Change::Grow, 10, now + TICK * 2), 10, "b did not come");
    }
}
