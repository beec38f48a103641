//! Which request meets which fault: a pure function of a seed, the class of the request, and the how-manieth of its class
//! it is.
//!
//! Nothing here depends on time or on what other histories do, so that a seed gives the same faults again although the
//! requests of a second run come at other moments.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a request is, as far as faults go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub(super) enum Class {
    /// Reads and writes of the leader's lease.
    Lease,
    /// Every other write.
    Write,
    /// One object.
    Get,
    /// A collection.
    List,
    /// A stream of changes.
    Watch,
    /// A question to Prometheus about one history's signal.
    Signal,
    /// A question to Prometheus about pods of several histories.
    Usage,
}

impl Class {
    /// All of them.
    pub(super) const ALL: [Self; 7] =
        [Self::Lease, Self::Write, Self::Get, Self::List, Self::Watch, Self::Signal, Self::Usage];

    /// Of a hundred requests so many meet a fault. Reads that make up one look are many, and must get
    /// through often enough for a history to get anywhere.
    const fn percent(self) -> u64 {
        match self {
            Self::Lease => 10,
            Self::Write | Self::List => 20,
            Self::Get => 5,
            Self::Watch => 40,
            Self::Signal | Self::Usage => 4,
        }
    }

    /// The faults that it can meet.
    const fn kinds(self) -> &'static [Kind] {
        use Kind::{
            Conflict, Cut, Delay, DropAnswer, DropRequest, Empty, Error, FailAfter, Gone, Half, Lag, LateAnswer, Stale,
            TooMany, Twice,
        };
        match self {
            // No 410: no API server answers a write with it.
            Self::Lease | Self::Write => {
                &[Delay, LateAnswer, DropRequest, DropAnswer, Twice, Conflict, TooMany, Error, FailAfter, Half]
            }
            Self::Get => &[Delay, LateAnswer, DropRequest, DropAnswer, Gone, TooMany, Error, Half],
            Self::List => &[Delay, LateAnswer, DropRequest, Gone, TooMany, Error, Half, Stale, Stale, Stale],
            Self::Watch => &[Cut, Cut, Half, Gone, TooMany, Error, Lag, Lag, Twice],
            Self::Signal | Self::Usage => &[Delay, DropRequest, DropAnswer, TooMany, Error, Half, Empty],
        }
    }
}

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub(super) enum Kind {
    /// It waits before it is passed on, so that later ones overtake it. It goes with the client that gives up on it.
    Delay,
    /// It is passed on, and its answer waits, perhaps longer than the client does.
    LateAnswer,
    /// It never arrives.
    DropRequest,
    /// It is carried out, and the connection breaks before the answer.
    DropAnswer,
    /// It is carried out twice; of a watch: each event comes twice.
    Twice,
    /// 409 without having been carried out.
    Conflict,
    /// 410; of a watch that runs: the event that says so.
    Gone,
    /// 429 with `Retry-After`.
    TooMany,
    /// 500 without having been carried out.
    Error,
    /// 500 after having been carried out.
    FailAfter,
    /// 200 with the first half of the body, then the connection breaks; of a watch: in the middle of an event.
    Half,
    /// An earlier answer to the same list; the watch that follows it goes on from there.
    Stale,
    /// The stream ends after a while.
    Cut,
    /// The stream stands still for a while: what it tells is old, and other streams overtake it.
    Lag,
    /// Prometheus finds no series.
    Empty,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 15] = [
        Self::Delay,
        Self::LateAnswer,
        Self::DropRequest,
        Self::DropAnswer,
        Self::Twice,
        Self::Conflict,
        Self::Gone,
        Self::TooMany,
        Self::Error,
        Self::FailAfter,
        Self::Half,
        Self::Stale,
        Self::Cut,
        Self::Lag,
        Self::Empty,
    ];

    /// How long it takes at least and at most, in milliseconds. The longest delays are longer than a client waits (3 s
    /// for writes).
    const fn span(self) -> (u64, u64) {
        match self {
            Self::Delay | Self::LateAnswer => (50, 4_000),
            Self::Cut | Self::Gone | Self::Half => (200, 15_000),
            Self::Lag => (500, 8_000),
            _ => (0, 1),
        }
    }
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is done.
    pub(super) kind: Kind,
    /// For how long, or after how long, in milliseconds, where that means something.
    pub(super) millis: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        if self.kind.span().1 > 1 { write!(f, " {} ms", self.millis) } else { Ok(()) }
    }
}

/// One round of `SplitMix64`: neighbouring inputs give outputs that have nothing to do with each other.
pub(super) const fn mix(seed: u64, with: u64) -> u64 {
    let mut z = seed ^ with.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The fault that the `nth` request of a class meets under a seed, if any.
pub(super) fn fault(seed: u64, class: Class, nth: u64) -> Option<Fault> {
    let dice = mix(mix(seed, class as u64 + 1), nth);
    if dice % 100 >= class.percent() {
        return None;
    }
    let kinds = class.kinds();
    let kind = kinds[usize::try_from(mix(dice, 1) % kinds.len() as u64).unwrap_or_default()];
    let (least, most) = kind.span();
    Some(Fault { kind, millis: least + mix(dice, 2) % (most - least) })
}

#[test]
fn a_seed_replays_and_another_seed_differs() {
    let list = |seed| -> Vec<_> {
        Class::ALL.iter().flat_map(|class| (0..500).map(move |nth| fault(seed, *class, nth))).collect()
    };
    assert_eq!(list(7), list(7));
    assert_ne!(list(7), list(8));
}

#[test]
fn every_fault_comes_and_about_as_often_as_it_should() {
    let mut seen = std::collections::BTreeSet::new();
    for class in Class::ALL {
        let faults: Vec<_> = (0..20_000).filter_map(|nth| fault(3, class, nth)).collect();
        let expected = 200 * class.percent();
        assert!((faults.len() as u64).abs_diff(expected) < expected / 5 + 20, "{class:?}: {}", faults.len());
        let kinds: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.kind).collect();
        assert!(class.kinds().iter().all(|kind| kinds.contains(kind)), "{class:?}: {kinds:?}");
        seen.extend(kinds);
    }
    assert!(Kind::ALL.iter().all(|kind| seen.contains(kind)), "{seen:?}");
}
