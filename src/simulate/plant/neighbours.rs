//! Pods of others on one node: they come by themselves, take what is free, and leave after hours.
//!
//! Invariant: when they come, how much they want and how long they would stay is the node's own stream of random
//! numbers, the same whatever the workload does; only how much of it they get depends on what is free.

use super::super::{random::Stream, world::Neighbours};
use crate::units::maths;

/// Less than this, in cores, is not worth a pod.
const LEAST: f64 = 0.02;
/// So many stays after the first arrival, those who come and those who leave are equally many.
const SETTLED_STAYS: f64 = 4.0;

/// Those on one node.
#[derive(Clone, Debug)]
pub(super) struct Guests {
    kind: Neighbours,
    stream: Stream,
    /// When the next one comes.
    next: f64,
    /// Until when each stays, and its CPU request.
    here: Vec<(f64, f64)>,
}

impl Guests {
    /// Nobody yet; they come from an instant on.
    pub(super) fn from(kind: Neighbours, seed: u64, node: u64, at: f64) -> Self {
        let mut guests = Self { kind, stream: Stream::new(seed, "node-neighbours", node), next: at, here: Vec::new() };
        guests.next += guests.interval();
        guests
    }

    /// The same from long before the run on.
    pub(super) fn settled(kind: Neighbours, seed: u64, node: u64) -> Self {
        Self::from(kind, seed, node, -SETTLED_STAYS * kind.stay.get())
    }

    fn interval(&mut self) -> f64 {
        exponential(&mut self.stream, 3600.0 / self.kind.per_hour.max(f64::MIN_POSITIVE))
    }

    /// Whether somebody comes or leaves by now.
    pub(super) fn stir(&self, now: f64) -> bool {
        self.next <= now || self.here.iter().any(|(until, _)| *until <= now)
    }

    /// Lets come and leave whose time it is, on a node of which the workload has `ours`.
    pub(super) fn pass(&mut self, now: f64, node: f64, ours: f64) {
        while self.next <= now {
            let at = self.next;
            self.here.retain(|(until, _)| *until > at);
            // Drawn whether there is room or not: what is refused here goes elsewhere.
            let wants = node * self.kind.size * (0.5 + self.stream.uniform());
            let until = at + exponential(&mut self.stream, self.kind.stay.get());
            self.next += self.interval();
            let free = (node - ours).min(node * self.kind.share) - self.taken();
            let gets = wants.min(free);
            if gets >= LEAST {
                self.here.push((until, gets));
            }
        }
        self.here.retain(|(until, _)| *until > now);
    }

    /// CPU that they request together.
    pub(super) fn taken(&self) -> f64 {
        self.here.iter().map(|(_, cpu)| cpu).sum()
    }
}

fn exponential(stream: &mut Stream, mean: f64) -> f64 {
    -mean * maths::ln(1.0 - stream.uniform())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Seconds;

    const KIND: Neighbours = Neighbours { per_hour: 6.0, size: 0.0625, share: 0.9, stay: Seconds(7200.0) };

    #[test]
    fn an_empty_node_fills_to_what_its_neighbours_want() {
        let (mut sum, nodes) = (0.0, 200);
        for node in 0..nodes {
            let mut guests = Guests::settled(KIND, 1, node);
            guests.pass(0.0, 8.0, 0.0);
            assert!(guests.taken() <= 7.2 + 1e-9, "{}", guests.taken());
            sum += guests.taken();
        }
        // Six an hour of half a core for two hours are six cores, less what the share turns away.
        let mean = sum / nodes as f64;
        assert!((5.0..6.0).contains(&mean), "{mean}");
    }

    #[test]
    fn they_take_only_what_is_free_and_what_they_took_stays_theirs_for_hours() {
        let busy = Neighbours { per_hour: 60.0, share: 1.0, ..KIND };
        let mut guests = Guests::from(busy, 1, 1, 0.0);
        guests.pass(7200.0, 8.0, 6.0);
        assert!((1.5..=2.0).contains(&guests.taken()), "{}", guests.taken());
        // The workload trims two cores away: they are gone within the hour, and raising again finds nothing free.
        guests.pass(10_800.0, 8.0, 4.0);
        let taken = guests.taken();
        assert!((3.5..=4.0).contains(&taken), "{taken}");
        guests.pass(10_860.0, 8.0, 8.0 - taken);
        assert!(guests.taken() > 3.0, "{}", guests.taken());
    }

    #[test]
    fn who_comes_does_not_depend_on_what_is_free() {
        let (mut free, mut full) = (Guests::from(KIND, 3, 1, 0.0), Guests::from(KIND, 3, 1, 0.0));
        free.pass(7200.0, 8.0, 0.0);
        full.pass(7200.0, 8.0, 8.0);
        assert_eq!((free.next, full.taken()), (full.next, 0.0));
        assert!(free.taken() > 0.0);
    }
}
