//! The leases of all shards, of this number of shards and of others.
//!
//! While a deployment goes from two shards to three, instances that divide policies by two and by three run side by side.
//! One that has taken its lease therefore looks whether any lease of another number of shards is held, *after* its own
//! write, and does not write to anything else before all of those have run out: so of any two at least one sees the other.
//! Two that see each other would wait for ever, so the one with fewer shards steps back.
//!
//! Invariant: no clock of another machine counts, as for the lease itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use std::time::Duration;
use tokio::time::Instant;

use super::Timing;
use crate::policy::Shard;

/// A lease of another number of shards, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    holder: String,
    renewed: Option<Timestamp>,
    since: Instant,
}

/// What is known of leases of other numbers of shards.
#[derive(Debug)]
pub(super) struct Family {
    base: String,
    shard: Shard,
    seen: BTreeMap<String, Seen>,
    /// Name and holder of one that is waited for.
    waits_for: Option<(String, String)>,
}

/// Whether there are such leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// None is held.
    Gone,
    /// Some are, all of fewer shards.
    There,
    /// Some are, of more shards.
    Outrank,
}

impl Family {
    pub(super) const fn new(base: String, shard: Shard) -> Self {
        Self { base, shard, seen: BTreeMap::new(), waits_for: None }
    }

    /// Looks at all leases of the namespace.
    pub(super) fn look(&mut self, leases: &[Lease], timing: &Timing, now: Instant) -> Others {
        let mut verdict = Others::Gone;
        let mut seen = BTreeMap::new();
        self.waits_for = None;
        for lease in leases {
            let (Some(name), Some(spec)) = (&lease.metadata.name, &lease.spec) else { continue };
            let other = Shard::of_lease(&self.base, name).filter(|other| other.count() != self.shard.count());
            let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
            let (Some(other), Some(holder)) = (other, holder) else { continue };
            let mut found = Seen { holder, renewed: spec.renew_time.as_ref().map(|t| t.0), since: now };
            if let Some(known) = self.seen.get(name)
                && (&known.holder, known.renewed) == (&found.holder, found.renewed)
            {
                found.since = known.since;
            }
            let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
            let lasts = seconds.map_or(timing.duration, Duration::from_secs);
            if now.saturating_duration_since(found.since) < lasts {
                self.waits_for = Some((name.clone(), found.holder.clone()));
                let outranks = other.count() > self.shard.count() || verdict == Others::Outrank;
                verdict = if outranks { Others::Outrank } else { Others::There };
            }
            seen.insert(name.clone(), found);
        }
        self.seen = seen;
        verdict
    }

    /// Why there is no claim, in words.
    pub(super) fn waits_for(&self) -> String {
        let (name, holder) = self.waits_for.clone().unwrap_or_default();
        let mine = self.shard.count();
        format!(
            "{holder} holds lease {name}, of another number of shards than {mine}: it is waited for until it is gone"
        )
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(name: &str, holder: &str, renewed: i64) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.name = Some(name.to_owned());
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(holder.to_owned());
        spec.renew_time = Some(MicroTime(Timestamp::from_second(renewed).unwrap()));
        spec.lease_duration_seconds = Some(15);
        lease
    }

    fn family(shard: &str) -> Family {
        Family::new("arbiter".to_owned(), shard.parse().unwrap())
    }

    #[test]
    fn only_held_leases_of_another_number_of_shards_count() {
        let now = Instant::now();
        let mut two = family("0/2");
        let mut look = |leases: &[Lease]| two.look(leases, &Timing::default(), now);
        assert_eq!(look(&[]), Others::Gone);
        assert_eq!(look(&[lease("arbiter-1-of-2", "b", 1), lease("arbiter-dev", "c", 1)]), Others::Gone);
        assert_eq!(look(&[lease("arbiter", "", 1)]), Others::Gone, "given back");
        assert_eq!(look(&[lease("arbiter", "a", 1)]), Others::There);
        assert_eq!(look(&[lease("arbiter-0-of-3", "a", 1), lease("arbiter", "a", 1)]), Others::Outrank);
        assert!(two.waits_for().contains("a holds lease arbiter,"), "{}", two.waits_for());
    }

    #[test]
    fn one_that_is_not_renewed_runs_out_by_the_own_clock() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut two = family("1/2");
        let mut look = |renewed, at| two.look(&[lease("arbiter", "a", renewed)], &Timing::default(), at);
        assert_eq!(look(-86_400, start), Others::There);
        assert_eq!(look(-86_400, after(14)), Others::There);
        assert_eq!(look(86_400, after(15)), Others::There, "renewed");
        assert_eq!(look(86_400, after(29)), Others::There);
        assert_eq!(look(86_400, after(30)), Others::Gone);
    }
}
