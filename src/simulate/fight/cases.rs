//! The cases: what runs, on what, and how it is known to end.

use super::{
    Case, Class,
    cluster::{Queue, Setup},
};
use crate::{
    policy::ReplicaRange,
    simulate::{
        Controller,
        rivals::{
            Beside, Hpa, Hvpa, Keda,
            hpa::{
                DOWNSCALE_WINDOW, Metric,
                behavior::{Behavior, WrittenRules},
            },
            keda::executor::Activation,
            vpa::{
                Config, Seed, Settings, UpdateMode, Vpa,
                amounts::Resource,
                policy::{ContainerPolicy, Policy},
                priority::Thresholds,
            },
        },
    },
    units::Replicas,
};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// Steady work.
fn steady(_: f64) -> f64 {
    4.0
}

/// Twice the work for ten minutes, half an hour after the start.
fn pulse(at: f64) -> f64 {
    if (30.0 * MINUTE..40.0 * MINUTE).contains(&at) { 8.0 } else { 4.0 }
}

/// More than the one pod asks for.
fn five(_: f64) -> f64 {
    5.0
}

const fn eight_pods(request: f64, work: fn(f64) -> f64) -> Setup {
    Setup { replicas: 8, request, idle: 0.05, work, start: 30.0, queue: None }
}

/// Pods without idle usage that start within two seconds, which is at once here: the emulated pods of the measurement.
const MEASURED: Setup = Setup { idle: 0.0, start: 0.0, ..eight_pods(1.0, steady) };

/// Request at which a pod with an eighth of the work is at 70 % and 80 %.
const AT_70: f64 = 0.55 / 0.7;
const AT_80: f64 = 0.55 / 0.8;

fn range(min: u32, max: u32) -> ReplicaRange {
    ReplicaRange { min: Replicas(min), max: Replicas(max) }
}

/// CPU alone, requests alone: memory has no part in the fight.
fn cpu_only() -> Policy {
    let any = ContainerPolicy {
        container: "*".to_owned(),
        only: Some(Resource::Cpu),
        requests_only: true,
        ..ContainerPolicy::default()
    };
    Policy(vec![any])
}

/// A vertical autoscaler whose request is `q × 1.15` times what a pod uses now.
///
/// The real one forgets within days (half-life 24 h): here within seconds, so that the course of weeks fits into an hour.
/// `q`, the ratio of a usage percentile to mean usage, is a property of noisy load; the work here has none, so the margin
/// stands in for it. All of these are flags of the recommender and the updater; 0.15 and 24 h are their defaults.
fn following(q: f64) -> Vpa {
    let config = Config { margin: 1.15 * q - 1.0, cpu_half_life: 5, confidence_interval: 1, ..Config::default() };
    let thresholds = Thresholds { lifetime: 60, ..Thresholds::default() };
    let mode = UpdateMode::InPlaceOrRecreate;
    Vpa::new("vpa", Settings { mode, policy: cpu_only(), config, thresholds, ..Settings::default() })
}

/// All flags as they come, eight days of usage in the checkpoint.
fn as_it_comes() -> Vpa {
    let mode = UpdateMode::InPlaceOrRecreate;
    let seed = Seed { days: 8, cpu_milli: 550, memory_bytes: 256 << 20 };
    Vpa::new("vpa", Settings { mode, policy: cpu_only(), ..Settings::default() }).seeded(seed)
}

/// As on the real control plane: a half-life of 2 min, both loops every 15 s, the 12 h rule after a minute.
fn as_measured(mode: UpdateMode) -> Vpa {
    let config = Config { cpu_half_life: 120, ..Config::default() };
    let thresholds = Thresholds { lifetime: 60, ..Thresholds::default() };
    let seed = Seed { days: 8, cpu_milli: 500, memory_bytes: 256 << 20 };
    let settings = Settings { mode, policy: cpu_only(), config, thresholds, period: 15, ..Settings::default() };
    Vpa::new("vpa", settings).seeded(seed)
}

fn hpa(percent: i32, max: u32) -> Box<dyn Controller + Send> {
    Box::new(Hpa::cpu("hpa", percent, range(1, max)))
}

/// KEDA with a target of items per replica, which may shrink after some seconds.
fn keda(target: f64, window: f64) -> Box<dyn Controller + Send> {
    let down = WrittenRules { window: Some(window), ..WrittenRules::default() };
    let behavior = Behavior::defaulted(&WrittenRules::default(), &down, DOWNSCALE_WINDOW);
    Box::new(Keda::new("keda", target, range(1, 200), Activation::default()).with_behavior(behavior))
}

/// 100 items a second for pods that do 10 each, a minute to start, 30 s from the queue to the look.
const QUEUE: Setup = Setup {
    replicas: 1,
    request: 1.0,
    idle: 0.0,
    work: steady,
    start: 60.0,
    queue: Some(Queue { arrivals: 100.0, rate: 10.0 }),
};

fn pair(percent: i32, max: u32, vertical: Vpa) -> Box<dyn Controller + Send> {
    Box::new(Beside::new("pair", hpa(percent, max), vertical))
}

/// The cases, in the order in which they are told.
pub static CASES: [Case; 13] = [
    Case {
        key: "A",
        file: "a-drift",
        title: "HPA at 70 % and a VPA that follows usage",
        note: "VPA's half-life is 5 s instead of 24 h: weeks in minutes",
        product: Some(1.15 * 0.7),
        expected: Class::DriftsToMax,
        reference: "8 → 10 → 35 → 100 in 10 min",
        seconds: HOUR,
        max: 100,
        setup: eight_pods(AT_70, steady),
        controller: || pair(70, 100, following(1.0)),
    },
    Case {
        key: "B",
        file: "b-collapse",
        title: "HPA at 80 %, VPA with 1.4 times the margin",
        note: "as A; the margin stands in for spiky usage (p90 1.4 times the mean)",
        product: Some(1.15 * 1.4 * 0.8),
        expected: Class::Collapses,
        reference: "8 → 7 → 6 → 4",
        seconds: 2.0 * HOUR,
        max: 100,
        setup: eight_pods(AT_80, steady),
        controller: || pair(80, 100, following(1.4)),
    },
    Case {
        key: "C",
        file: "c-hold",
        title: "HPA at 80 %, VPA with 1.1 times the margin",
        note: "as A; the product is close enough to 1 for HPA's tolerance of 10 %",
        product: Some(1.15 * 1.1 * 0.8),
        expected: Class::Holds,
        reference: "8",
        seconds: 2.0 * HOUR,
        max: 100,
        setup: eight_pods(AT_80, steady),
        controller: || pair(80, 100, following(1.1)),
    },
    Case {
        key: "C'",
        file: "c-ratchet",
        title: "the same, and twice the work for ten minutes",
        note: "as C",
        product: Some(1.15 * 1.1 * 0.8),
        expected: Class::Ratchets,
        reference: "8 → 16, for ever",
        seconds: 8.0 * HOUR,
        max: 100,
        setup: eight_pods(AT_80, pulse),
        controller: || pair(80, 100, following(1.1)),
    },
    Case {
        key: "D",
        file: "d-creep",
        title: "HPA at 70 % and a VPA with all its defaults",
        note: "every flag as it comes; eight days of usage seen before",
        product: Some(1.15 * 0.7),
        expected: Class::Creeps,
        reference: "a round in 3.4 d, by the measured pace of M; with a VPA on mean usage 10 → 20 (1 d) → 38 (4 d) → 72 (10 d)",
        seconds: 20.0 * DAY,
        max: 100,
        setup: eight_pods(AT_70, steady),
        controller: || pair(70, 100, as_it_comes()),
    },
    Case {
        key: "M",
        file: "m-measured",
        title: "the same pair as it was measured on a real control plane",
        note: "half-life 2 min instead of 24 h, VPA's loops every 15 s, its 12 h rule after 1 min: as in the measurement",
        product: Some(1.15 * 0.7),
        expected: Class::Creeps,
        reference: "8×1000m → 10×587m → 12×476m → 14×410m → 17×350m → 21×271m, none evicted (measured)",
        seconds: 48.0 * MINUTE,
        max: 60,
        setup: MEASURED,
        controller: || pair(70, 60, as_measured(UpdateMode::InPlaceOrRecreate)),
    },
    Case {
        key: "M'",
        file: "m-measured-recreate",
        title: "the same, with a VPA that evicts",
        note: "as M, updateMode Recreate",
        product: Some(1.15 * 0.7),
        expected: Class::Creeps,
        reference: "8×1000m → 10×587m → 12×476m → 14×410m → 17×350m → 20×271m, 61 evicted in 40 min (measured)",
        seconds: 40.0 * MINUTE,
        max: 60,
        setup: MEASURED,
        controller: || pair(70, 60, as_measured(UpdateMode::Recreate)),
    },
    Case {
        key: "E",
        file: "e-average-value",
        title: "HPA on 0.55 core a pod, whatever it requests, and a VPA that follows",
        note: "averageValue instead of averageUtilization: Gardener's way; VPA as in A",
        product: None,
        expected: Class::Holds,
        reference: "8, for ever",
        seconds: 8.0 * HOUR,
        max: 100,
        setup: eight_pods(AT_70, steady),
        controller: || {
            let horizontal = Hpa::new("hpa", vec![Metric::cpu_average(550)], range(1, 100));
            Box::new(Beside::new("pair", Box::new(horizontal), following(1.0)))
        },
    },
    Case {
        key: "E'",
        file: "e-average-value-surge",
        title: "the same, and twice the work for ten minutes",
        note: "as E",
        product: None,
        expected: Class::Holds,
        reference: "back to 8 when the work is",
        seconds: 2.0 * HOUR,
        max: 100,
        setup: eight_pods(AT_70, pulse),
        controller: || {
            let horizontal = Hpa::new("hpa", vec![Metric::cpu_average(550)], range(1, 100));
            Box::new(Beside::new("pair", Box::new(horizontal), following(1.0)))
        },
    },
    Case {
        key: "K1",
        file: "k-queue-below",
        title: "KEDA alone, 300 items a replica: below the threshold",
        note: "scale-down window 0 s; pods start in 60 s, the queue is seen 30 s late",
        product: None,
        expected: Class::Oscillates,
        reference: "1 … 32, 28 changes of direction an hour",
        seconds: 4.0 * HOUR,
        max: 200,
        setup: QUEUE,
        controller: || keda(300.0, 0.0),
    },
    Case {
        key: "K2",
        file: "k-queue-above",
        title: "KEDA alone, 700 items a replica: above the threshold",
        note: "scale-down window 0 s; pods start in 60 s, the queue is seen 30 s late",
        product: None,
        expected: Class::Settles,
        reference: "10, still",
        seconds: 4.0 * HOUR,
        max: 200,
        setup: QUEUE,
        controller: || keda(700.0, 0.0),
    },
    Case {
        key: "K3",
        file: "k-queue-window",
        title: "KEDA alone, 1000 items a replica and the default window",
        note: "scale-down window 300 s; pods start in 60 s, the queue is seen 30 s late",
        product: None,
        expected: Class::Oscillates,
        reference: "8 … 11, 8 changes of direction an hour",
        seconds: 4.0 * HOUR,
        max: 200,
        setup: QUEUE,
        controller: || keda(1000.0, 300.0),
    },
    Case {
        key: "H",
        file: "h-hvpa",
        title: "HVPA: half of what HPA wants and half of what VPA wants",
        note: "HPA at 100 % and no margin, as in the known example; its first step is limited to 4 replicas",
        product: None,
        expected: Class::Overshoots,
        reference: "3 pods × 3 cores = 9 cores for a need of 5",
        seconds: 12.0 * MINUTE,
        max: 10,
        setup: Setup { replicas: 1, request: 1.0, idle: 0.0, work: five, start: 30.0, queue: None },
        controller: || Box::new(Hvpa::new("hvpa", hpa(100, 10), following(1.0 / 1.15), 0.5)),
    },
];
