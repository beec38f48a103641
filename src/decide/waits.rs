//! How long pods take to start when no node has room for them, apart from how long they take when one has.
//!
//! A snapshot says how many pods no node takes, and how long those took that became ready, but not which waited. Pods
//! that were seen waiting and have a node now are counted; of the starts that are reported meanwhile, the longest are
//! theirs. While pods wait, and until one has started without waiting, the longer time is what is reckoned with.

use serde::{Deserialize, Serialize};

/// What a node takes from being asked for to being ready, before one was seen: a cloud's machine.
const DEFAULT_NODE: f64 = 90.0;
/// Longer than this nobody waits for a node: it is not coming.
const LONGEST: f64 = 1800.0;

/// Pods that wait for a node, and what that took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Waits {
    /// Pods that no node takes, and since when there are any.
    waiting: u32,
    since: Option<f64>,
    /// Pods that waited, have a node now, and are not ready yet.
    placed: u32,
    /// Whether the last pod that started had to wait.
    full: bool,
    /// 90th percentile of starts with a wait; absent: none was seen.
    start_p90: Option<f64>,
}

impl Waits {
    /// Takes the pods of a tick: `pending` are not ready, `unschedulable` among them no node takes. Splits the starts that
    /// ended since the last tick into those with a wait, which are learned here, and the others, which are handed back.
    pub(super) fn note(&mut self, t: f64, pending: u32, unschedulable: u32, mut starts: Vec<f64>) -> Vec<f64> {
        let ended = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        let left = self.waiting.saturating_sub(unschedulable);
        // Some of those that no longer wait were deleted: no more are placed than there are.
        let most = pending.saturating_sub(unschedulable).saturating_add(ended);
        self.placed = self.placed.saturating_add(left).min(most);
        self.waiting = unschedulable;
        self.since = if unschedulable == 0 { None } else { self.since.or(Some(t)) };
        starts.sort_by(f64::total_cmp);
        let waited = self.placed.min(ended);
        self.placed -= waited;
        let plain = starts.len() - waited as usize;
        for start in starts.split_off(plain) {
            let start = start.min(LONGEST);
            let seen = self.start_p90.get_or_insert(start);
            let gain = if start > *seen { 0.5 } else { 0.05 };
            *seen += gain * (start - *seen);
        }
        if unschedulable > 0 || waited > 0 {
            self.full = true;
        } else if !starts.is_empty() {
            self.full = false;
        }
        starts
    }

    /// Start-up time to reckon with at this tick, given that of pods that find room.
    pub(super) fn start(&self, t: f64, with_room: f64) -> f64 {
        if !self.full {
            return with_room;
        }
        let usual = self.start_p90.unwrap_or(with_room + DEFAULT_NODE);
        // Who has waited longer than that already still has to start.
        let so_far = self.since.map_or(0.0, |since| (t - since).clamp(0.0, LONGEST));
        usual.max(with_room).max(so_far + with_room)
    }
}

#[cfg(test)]
mod tests {
    use super::Waits;

    /// Plays ticks of 15 s: (pending, unschedulable, starts that ended).
    fn played(ticks: &[(u32, u32, &[f64])]) -> (Waits, f64, Vec<f64>) {
        let (mut waits, mut plain, mut t) = (Waits::default(), Vec::new(), 0.0);
        for (pending, unschedulable, starts) in ticks {
            t += 15.0;
            plain.extend(waits.note(t, *pending, *unschedulable, starts.to_vec()));
        }
        (waits, t, plain)
    }

    #[test]
    fn with_room_nothing_waits() {
        let (waits, t, plain) = played(&[(2, 0, &[]), (1, 0, &[28.0]), (0, 0, &[41.0])]);
        assert_eq!((plain, waits.start(t, 30.0)), (vec![28.0, 41.0], 30.0));
    }

    #[test]
    fn a_batch_of_which_half_waits_is_told_apart() {
        // Four pods: two find room and are ready after 30 s, two wait for a node until 105 s and are ready at 135 s.
        let (waits, t, plain) = played(&[
            (4, 2, &[]),
            (4, 2, &[]),
            (2, 2, &[29.0, 31.0]),
            (2, 2, &[]),
            (2, 0, &[]),
            (2, 0, &[]),
            (0, 0, &[134.0, 136.0]),
        ]);
        assert_eq!(plain, [29.0, 31.0]);
        let reckoned = waits.start(t, 30.0);
        assert!((134.0..=136.0).contains(&reckoned), "{reckoned}");
    }

    #[test]
    fn the_cluster_counts_as_full_until_a_pod_starts_without_waiting() {
        let mut ticks: Vec<(u32, u32, &[f64])> = vec![(1, 1, &[]), (1, 0, &[]), (0, 0, &[130.0])];
        ticks.extend([(0, 0, &[] as &[f64]); 40]);
        let (mut waits, t, _) = played(&ticks);
        assert_eq!(waits.start(t, 30.0), 130.0, "nothing has said otherwise");
        waits.note(t + 15.0, 1, 0, Vec::new());
        assert_eq!(waits.note(t + 45.0, 0, 0, vec![33.0]), [33.0]);
        assert_eq!(waits.start(t + 45.0, 30.0), 30.0);
        // Full again: what waiting takes is remembered.
        waits.note(t + 60.0, 1, 1, Vec::new());
        assert_eq!(waits.start(t + 60.0, 30.0), 130.0);
    }

    #[test]
    fn before_a_node_was_seen_to_come_one_is_reckoned_with_and_a_longer_wait_counts() {
        let (waits, t, _) = played(&[(1, 1, &[])]);
        assert_eq!(waits.start(t, 30.0), 120.0);
        let (waits, t, _) = played(&[(1, 1, &[] as &[f64]); 21]);
        assert_eq!(waits.start(t, 30.0), 330.0, "five minutes so far");
        let (waits, t, _) = played(&vec![(1, 1, &[] as &[f64]); 4000]);
        assert_eq!(waits.start(t, 30.0), 1830.0, "nobody reckons with days");
    }

    #[test]
    fn pods_that_are_deleted_while_they_wait_are_not_awaited() {
        let (waits, t, plain) = played(&[(3, 3, &[]), (0, 0, &[]), (1, 0, &[]), (0, 0, &[27.0])]);
        assert_eq!((plain, waits.start(t, 30.0)), (vec![27.0], 30.0));
    }
}
