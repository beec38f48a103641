//! Direct sources, polled every second: one task per distinct source, however many policies use it.
//!
//! A task keeps the latest outcome, and wakes the policies that read the source when their backlog has risen by an amount
//! that could matter since their last tick. A fall wakes nobody: shrinking has time.
//!
//! Invariant: a task lives as long as some policy names its source, and no longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::judge::{Evidence, Measured};
use super::nats_jetstream::{Consumer, NatsMonitor};
use crate::observe::clock::Clock;
use crate::observe::error::ObserveError;
use crate::observe::tenancy::Doors;
use crate::policy::{PolicyKey, Source};
use crate::units::Seconds;

/// A rise of fewer items than this is one that running pods absorb.
const LEAST_RISE: f64 = 5.0;
/// A rise by less than this share of what the last tick saw leaves its answer about right.
const LEAST_RISE_SHARE: f64 = 0.2;
/// A policy is woken at most once in this time.
const DEBOUNCE: Seconds = Seconds(1.0);
/// Wake-ups that may wait to be read: one per policy and second, for a thousand policies.
const WAKES: usize = 1024;

/// A signal of a policy.
type Reader = (PolicyKey, String);

/// All pollers, and what they found.
pub(super) struct Pollers {
    shared: Arc<Shared>,
    tasks: Mutex<BTreeMap<Consumer, AbortOnDrop>>,
    interval: Duration,
}

struct Shared {
    monitor: NatsMonitor,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    polled: BTreeMap<Consumer, Polled>,
    readers: BTreeMap<Consumer, BTreeSet<Reader>>,
    /// What the last tick saw.
    seen: BTreeMap<Reader, f64>,
    woken: BTreeMap<PolicyKey, Timestamp>,
    wakers: Vec<mpsc::Sender<PolicyKey>>,
}

/// Outcomes of a source.
#[derive(Clone, Debug, Default)]
struct Polled {
    /// The last number, and when it was asked for.
    good: Option<(f64, Timestamp)>,
    /// The error since, if the latest poll failed.
    error: Option<ObserveError>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The consumer that a source names, if it is a direct one; `within`: the namespace that it is confined to.
pub(super) fn consumer_of(source: &Source, within: Option<&str>) -> Option<Consumer> {
    match source {
        Source::NatsJetStream { monitoring_urls, account, stream, consumer } => Some(Consumer {
            within: within.map(str::to_owned),
            urls: monitoring_urls.clone(),
            account: account.clone(),
            stream: stream.clone(),
            consumer: consumer.clone(),
        }),
        Source::Prometheus { .. } | Source::PrometheusHistogram { .. } => None,
    }
}

impl Pollers {
    pub(super) fn new(interval: Duration, clock: Arc<dyn Clock>, doors: Option<Doors>) -> Result<Self, ObserveError> {
        let shared = Shared { monitor: NatsMonitor::new(doors)?, clock, state: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), tasks: Mutex::default(), interval })
    }

    /// Starts and ends tasks so that exactly the wanted sources are polled. Called within a tokio runtime.
    pub(super) fn sync(&self, wanted: BTreeMap<Consumer, BTreeSet<Reader>>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|consumer, _| wanted.contains_key(consumer));
        {
            let mut state = self.shared.state();
            let readers: BTreeSet<&Reader> = wanted.values().flatten().collect();
            let policies: BTreeSet<&PolicyKey> = readers.iter().map(|(policy, _)| policy).collect();
            state.polled.retain(|consumer, _| wanted.contains_key(consumer));
            state.seen.retain(|reader, _| readers.contains(reader));
            state.woken.retain(|policy, _| policies.contains(policy));
            state.readers.clone_from(&wanted);
        }
        for consumer in wanted.into_keys() {
            tasks.entry(consumer.clone()).or_insert_with(|| {
                let (shared, interval) = (Arc::clone(&self.shared), self.interval);
                AbortOnDrop(tokio::spawn(async move { poll_forever(&shared, &consumer, interval).await }))
            });
        }
    }

    pub(super) fn wakes(&self) -> mpsc::Receiver<PolicyKey> {
        let (sender, receiver) = mpsc::channel(WAKES);
        self.shared.state().wakers.push(sender);
        receiver
    }

    /// The latest outcome of a source, as a tick sees it: what it sees is what the next rise is measured against.
    pub(super) fn read(
        &self,
        now: Timestamp,
        reader: &Reader,
        consumer: &Consumer,
    ) -> Option<Result<Evidence, ObserveError>> {
        let mut state = self.shared.state();
        let polled = state.polled.get(consumer)?.clone();
        match polled {
            // An error that says that there is nothing is an answer: newer than any number before it.
            Polled { error: Some(error), .. } if error.is_empty_answer() => Some(Err(error)),
            Polled { good: Some((value, at)), error } => {
                state.seen.insert(reader.clone(), value);
                let age = Seconds(now.duration_since(at).as_secs_f64().max(0.0));
                let remark = error.map(|e| e.to_string());
                Some(Ok(Evidence { age: Some(age), remark, ..Evidence::of(Measured::Number(value)) }))
            }
            Polled { error: Some(error), .. } => Some(Err(error)),
            Polled { good: None, error: None } => None,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn poll_forever(shared: &Shared, consumer: &Consumer, interval: Duration) {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let asked = shared.clock.now();
        let outcome = shared.monitor.backlog(consumer).await;
        let now = shared.clock.now();
        let mut state = shared.state();
        let polled = state.polled.entry(consumer.clone()).or_default();
        match outcome {
            Ok(value) => {
                *polled = Polled { good: Some((value, asked)), error: None };
                state.wake(consumer, value, now);
            }
            Err(error) => polled.error = Some(error),
        }
    }
}

impl State {
    fn wake(&mut self, consumer: &Consumer, value: f64, now: Timestamp) {
        let Some(readers) = self.readers.get(consumer) else { return };
        let risen: BTreeSet<&PolicyKey> =
            readers.iter().filter(|r| matters(self.seen.get(*r).copied(), value)).map(|(policy, _)| policy).collect();
        for policy in risen {
            let recent =
                self.woken.get(policy).is_some_and(|at| now.duration_since(*at).as_secs_f64() < DEBOUNCE.get());
            if recent {
                continue;
            }
            self.woken.insert(policy.clone(), now);
            // A full channel holds a thousand wake-ups: the reader is behind, and this source will rise again.
            self.wakers
                .retain(|waker| !matches!(waker.try_send(policy.clone()), Err(mpsc::error::TrySendError::Closed(_))));
        }
    }
}

/// Whether a backlog has risen by an amount that the last tick's answer may not carry.
fn matters(seen: Option<f64>, value: f64) -> bool {
    match seen {
        None => value > 0.0,
        Some(seen) => (seen == 0.0 && value > 0.0) || value - seen > LEAST_RISE.max(LEAST_RISE_SHARE * seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_matters_and_a_fall_does_not() {
        for (seen, value, expected) in [
            (None, 0.0, false),
            (None, 1.0, true),
            (Some(0.0), 1.0, true),
            (Some(10.0), 15.0, false),
            (Some(10.0), 16.0, true),
            (Some(100.0), 119.0, false),
            (Some(100.0), 121.0, true),
            (Some(100.0), 0.0, false),
        ] {
            assert_eq!(matters(seen, value), expected, "{seen:?} -> {value}");
        }
    }

    #[test]
    fn a_policy_is_woken_at_most_once_a_second_and_closed_receivers_are_forgotten() {
        let consumer = Consumer {
            within: None,
            urls: vec!["http://nats:8222".to_owned()],
            account: "$G".to_owned(),
            stream: "S".to_owned(),
            consumer: "c".to_owned(),
        };
        let policy = PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() };
        let mut state = State::default();
        state.readers.insert(consumer.clone(), BTreeSet::from([(policy.clone(), "queue".to_owned())]));
        let (sender, mut receiver) = mpsc::channel(8);
        let (closed, gone) = mpsc::channel(8);
        drop(gone);
        state.wakers = vec![sender, closed];
        let at = |millis| Timestamp::from_millisecond(millis).expect("in range");
        state.wake(&consumer, 10.0, at(0));
        state.wake(&consumer, 50.0, at(900));
        assert_eq!(receiver.try_recv().ok(), Some(policy.clone()));
        assert!(receiver.try_recv().is_err(), "debounced");
        assert_eq!(state.wakers.len(), 1);
        state.wake(&consumer, 50.0, at(1000));
        assert_eq!(receiver.try_recv().ok(), Some(policy.clone()), "the rise is still there after the second");
        state.seen.insert((policy, "queue".to_owned()), 50.0);
        state.wake(&consumer, 52.0, at(5000));
        assert!(receiver.try_recv().is_err(), "the tick has seen it");
    }
}
