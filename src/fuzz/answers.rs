//! Answers of servers: the query API's and NATS's.

use std::collections::BTreeMap;

use super::is_a_line;
use crate::{
    decide::Reading,
    observe::{
        ObserveError,
        prometheus::{
            Answer,
            answer::{Decoded, Fault, decode, envelope},
            range::{Combine, Data, points},
        },
        signals::{
            judge::{DIRECT_LIMITS, Evidence, Measured, PROMETHEUS_LIMITS, Situation, judge},
            nats_jetstream::{Consumer, Unread, read},
            prometheus::{Answers, Questions, measure},
            prometheus_histogram,
        },
    },
    policy::{OnAbsent, Role},
    units::Seconds,
};

const ROLES: [Role; 4] = [Role::Demand, Role::Backlog, Role::Latency, Role::Saturation];

/// An answer of the query API: what is read of it is finite and not negative, a warning never makes a whole, and no
/// message has more than a line of the server's.
pub(super) fn prometheus(data: &[u8]) {
    history(data);
    match decode(data) {
        Err(why) => assert!(is_a_line(&why) && why.len() < 120, "{why:?}"),
        Ok(Decoded::Rejected(why) | Decoded::Unavailable(why)) => {
            assert!(why.chars().count() < 450 && !why.contains('\n'), "{why:?}");
        }
        Ok(Decoded::Success(answer)) => {
            for role in ROLES {
                query(role, &answer);
            }
            histogram(&answer);
        }
    }
}

fn query(role: Role, answer: &Answer) {
    let questions = Questions::of("sum(rate(x[1m]))").expect("it parses");
    let value = Evidence { warnings: answer.warnings.clone(), ..Evidence::of(measure(role, answer)) };
    // The same bytes as the value and as what the probe says of it.
    let answers: Answers = questions.texts(&BTreeMap::new()).map(|text| (text, Ok(answer.clone()))).collect();
    let evidence = questions.examine(value, &answers, &BTreeMap::new());
    for on_absent in [OnAbsent::Hold, OnAbsent::Zero] {
        let reading = judge(role, on_absent, PROMETHEUS_LIMITS, &Ok(evidence.clone()), &Situation::default());
        sound(&reading);
        if !answer.warnings.is_empty() {
            assert!(reading.state != Some(crate::decide::SignalState::Fresh), "{reading:?}");
        }
    }
}

fn histogram(answer: &Answer) {
    let questions = prometheus_histogram::questions("x", &BTreeMap::new(), Seconds(60.0));
    let answers: Answers = questions.values.iter().map(|text| (text.clone(), Ok(answer.clone()))).collect();
    let objective = Some((Seconds(0.25), 0.99));
    let evidence = prometheus_histogram::measure(&questions, &answers, objective);
    let evidence = evidence.map(|evidence| questions.examine(evidence, &answers, &BTreeMap::new()));
    sound(&judge(Role::Latency, OnAbsent::Hold, PROMETHEUS_LIMITS, &evidence, &Situation::default()));
}

/// What may reach a decision.
fn sound(reading: &Reading) {
    assert!(reading.state.is_some(), "{reading:?}");
    assert!(reading.value.is_none_or(|v| v.is_finite() && v >= 0.0), "{reading:?}");
    assert!(reading.violation_ratio.is_none_or(|r| (0.0..=1.0).contains(&r)), "{reading:?}");
    assert!(reading.age_seconds.is_none_or(|a| a.get().is_finite() && a.get() >= 0.0), "{reading:?}");
}

/// The same bytes as a history: ascending and finite.
fn history(data: &[u8]) {
    let Ok(envelope) = envelope::<Data>(data) else { return };
    match envelope.open() {
        Ok((Some(data), _)) => {
            for combine in [Combine::Sum, Combine::Max] {
                let points = points(data.result.iter(), combine);
                assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "ascending");
                assert!(points.iter().all(|(_, value)| value.is_finite()), "finite: {points:?}");
            }
        }
        Ok((None, _)) => {}
        Err(Fault::Query(why) | Fault::Server(why)) => assert!(why.chars().count() < 450, "{why:?}"),
    }
}

/// An answer of NATS's monitoring endpoint: a number that may reach a decision, or an error that repeats only what was
/// asked for.
pub(super) fn nats(data: &[u8]) {
    let wanted = Consumer {
        within: None,
        urls: Vec::new(),
        account: "$G".to_owned(),
        stream: "MEMES".to_owned(),
        consumer: "gen".to_owned(),
    };
    match read(data, &wanted) {
        Ok(read) => {
            assert!(read.items.is_finite() && read.items >= 0.0, "{read:?}");
            let evidence = Evidence { age: Some(Seconds::ZERO), ..Evidence::of(Measured::Number(read.items)) };
            sound(&judge(Role::Backlog, OnAbsent::Hold, DIRECT_LIMITS, &Ok(evidence), &Situation::default()));
        }
        Err(Unread::NotJson | Unread::Disabled) => {}
        Err(Unread::Error(error)) => {
            assert!(
                matches!(
                    error,
                    ObserveError::AccountNotFound { .. }
                        | ObserveError::StreamNotFound { .. }
                        | ObserveError::ConsumerNotFound { .. }
                ),
                "{error}"
            );
            assert!(error.to_string().len() < 200, "{error}");
        }
    }
}
