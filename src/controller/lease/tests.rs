use super::*;

fn observed(holder: Option<&str>, seen: Instant) -> Observed {
    Observed {
        holder: holder.map(str::to_owned),
        resource_version: "1".into(),
        renewed: None,
        duration: Duration::from_secs(15),
        seen,
        transitions: 3,
    }
}

#[test]
fn what_to_do_with_the_lease() {
    let start = Instant::now();
    let after = |s| start + Duration::from_secs(s);
    for (holder, seconds, step) in [
        (None, 0, Step::Acquire),
        (Some(""), 0, Step::Acquire),
        (Some("me"), 0, Step::Renew),
        (Some("me"), 3600, Step::Renew),
        (Some("you"), 0, Step::Wait),
        (Some("you"), 14, Step::Wait),
        (Some("you"), 15, Step::Acquire),
    ] {
        assert_eq!(
            evaluate(Some(&observed(holder, start)), "me", after(seconds)),
            step,
            "{holder:?} after {seconds} s"
        );
    }
    assert_eq!(evaluate(None, "me", start), Step::Acquire);
}

/// A clock that its test sets.
#[derive(Clone, Copy)]
struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn candidate(clock: Timestamp) -> Candidate<Fixed> {
    let (service, _handle) =
        tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
    Candidate {
        api: Api::namespaced(Client::new(service, "arbiter"), "arbiter"),
        settings: Settings {
            namespace: "arbiter".into(),
            base: "arbiter".into(),
            shard: Shard::WHOLE,
            identity: "me".into(),
            timing: Timing::default(),
        },
        name: "arbiter".into(),
        family: Family::new("arbiter".into(), Shard::WHOLE),
        clock: Fixed(clock),
        observed: None,
        alone: false,
        until: None,
        said: None,
    }
}

fn lease_of(holder: &str, renewed: Timestamp) -> Lease {
    Lease {
        metadata: ObjectMeta { resource_version: Some("7".into()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_skewed_clock_of_the_holder_neither_keeps_nor_loses_the_lease() {
    let epoch = Timestamp::UNIX_EPOCH;
    for skew in [-86_400, 0, 86_400] {
        let mut me = candidate(epoch);
        let renewed = epoch + jiff::SignedDuration::from_secs(skew);
        me.observe(Some(&lease_of("you", renewed)));
        assert_eq!(evaluate(me.observed.as_ref(), "me", Instant::now()), Step::Wait);
        tokio::time::advance(Duration::from_secs(14)).await;
        me.observe(Some(&lease_of("you", renewed)));
        assert_eq!(evaluate(me.observed.as_ref(), "me", Instant::now()), Step::Wait);
        tokio::time::advance(Duration::from_secs(1)).await;
        me.observe(Some(&lease_of("you", renewed)));
        assert_eq!(evaluate(me.observed.as_ref(), "me", Instant::now()), Step::Acquire, "skew {skew}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_starts_the_wait_anew() {
    let mut me = candidate(Timestamp::UNIX_EPOCH);
    me.observe(Some(&lease_of("you", Timestamp::UNIX_EPOCH)));
    tokio::time::advance(Duration::from_secs(14)).await;
    me.observe(Some(&lease_of("you", Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(14))));
    tokio::time::advance(Duration::from_secs(14)).await;
    assert_eq!(evaluate(me.observed.as_ref(), "me", Instant::now()), Step::Wait);
}

#[tokio::test]
async fn every_write_carries_the_version_that_was_read() {
    let mut me = candidate(Timestamp::UNIX_EPOCH);
    assert_eq!(me.lease(Step::Acquire).metadata.resource_version, None, "a create has none");
    me.observe(Some(&lease_of("you", Timestamp::UNIX_EPOCH)));
    let taken = me.lease(Step::Acquire);
    assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"));
    let spec = taken.spec.unwrap();
    assert_eq!(spec.lease_transitions, Some(1));
    assert!(spec.acquire_time.is_some());
}

#[test]
fn the_claim_ends_before_anybody_else_can_hold_the_lease() {
    let Timing { duration, renew_deadline, retry } = Timing::default();
    assert!(renew_deadline + crate::actuate::WRITE_TIMEOUT < duration);
    assert!(2 * retry < renew_deadline, "one failed renewal does not end the claim");
}
