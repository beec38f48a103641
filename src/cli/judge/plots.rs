//! The pictures of `docs/model.md`: one recorded day, the allowed utilization, a counter, and what was measured.

use std::path::Path;

use super::{
    super::Failure,
    cases::{TRIMS, USUAL},
    halves::Half,
    measures::{ARBITER, Measured, ORACLE},
    results::{geomean, late, mean},
};
use crate::{
    report::draw::{Axis, Hue, Join, Panel, Picture, Series},
    simulate::{Load, Run, Scenario, Tick, TraceOptions, controller},
    units::{Cores, Seconds, maths},
};

/// The day that is shown: the second one of a recording, the first on which the model knows its workload.
const DAY: (f64, f64) = (86_400.0, 172_800.0);
/// Ticks between two points of a line over a day: five minutes.
const POINT: usize = 20;

/// File name and content of the pictures that show the model at work on one recorded day.
pub(super) fn of_a_day(recording: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let name = recording.display().to_string();
    let file = std::fs::File::open(recording)
        .map_err(|error| Failure::Input(format!("{name}: cannot be opened: {error}; check the path")))?;
    let load = Load::read(&name, file, None).map_err(|error| Failure::Input(error.to_string()))?;
    let mut scenario = Scenario::from_trace(load.clone(), TraceOptions::default());
    scenario.duration = Seconds(DAY.1);
    let [ours, theirs] = ["arbiter", "hpa70"].map(|name| ticks(&scenario, name));
    let (ours, theirs) = (ours?, theirs?);
    Ok(vec![
        ("day.svg", day(&load.name, &ours, &theirs)),
        ("counter.svg", counter(&load.name, &ours)),
        ("utilization.svg", utilization(&load)?),
    ])
}

/// File name and content of the pictures of what was measured; those that nothing was measured for are left out.
pub(super) fn of_measures(measured: &Measured<'_>) -> Vec<(&'static str, String)> {
    let plane = plane(measured).map(|picture| ("plane.svg", picture.svg()));
    let trims = trims(measured).map(|picture| ("trims.svg", picture.svg()));
    plane.into_iter().chain(trims).collect()
}

/// The ticks of the day that is shown, with the seconds since its beginning.
fn ticks(scenario: &Scenario, name: &str) -> Result<Vec<(f64, Tick)>, Failure> {
    let controller = controller(name, scenario).map_err(|error| Failure::Input(error.to_string()))?;
    let mut run = Run::new(scenario, controller, 1);
    let all = std::iter::from_fn(|| run.advance()).enumerate();
    let timed = all.map(|(index, tick)| (index as f64 * crate::simulate::TICK.get() - DAY.0, tick));
    Ok(timed.filter(|(at, _)| *at >= 0.0).collect())
}

/// Means of a value over the day, as hours and values.
fn course(ticks: &[(f64, Tick)], value: impl Fn(&Tick) -> f64) -> Vec<(f64, f64)> {
    let means = ticks.chunks(POINT).map(|part| {
        let sum: f64 = part.iter().map(|(_, tick)| value(tick)).sum();
        (part[0].0 / 3600.0, sum / part.len() as f64)
    });
    means.collect()
}

fn hours() -> Axis {
    let word = |hour: f64| (hour, format!("{hour:.0} h"));
    Axis { low: 0.0, high: 24.0, ticks: [0.0, 6.0, 12.0, 18.0, 24.0].map(word).to_vec() }
}

fn series(name: &str, hue: Hue, join: Join, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), hue, join, points }
}

fn highest(series: &[Series]) -> f64 {
    series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max)
}

/// A panel over a day.
fn of_day(name: &str, height: f64, series: Vec<Series>, word: fn(f64) -> String) -> Panel {
    let up = Axis::from_zero(highest(&series), word);
    Panel { name: name.to_owned(), height, across: hours(), up, series }
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

/// Demand, what was paid for it, replicas and sizes under arbiter and an HPA.
fn day(name: &str, ours: &[(f64, Tick)], theirs: &[(f64, Tick)]) -> String {
    let paid = |tick: &Tick| tick.truth.pod_request_cores.get() * tick.truth.replicas.as_f64();
    let cores = vec![
        series("work", Hue::Quiet, Join::Area, course(ours, |tick| tick.truth.demand_cores.get())),
        series("hpa70", Hue::Rival, Join::Line, course(theirs, paid)),
        series("arbiter", Hue::Arbiter, Join::Line, course(ours, paid)),
    ];
    let pods = |tick: &Tick| tick.truth.replicas.as_f64();
    let replicas = vec![
        series("hpa70", Hue::Rival, Join::Step, course(theirs, pods)),
        series("arbiter", Hue::Arbiter, Join::Step, course(ours, pods)),
    ];
    let size = |tick: &Tick| tick.truth.pod_request_cores.get();
    let sizes = vec![
        series("hpa70", Hue::Rival, Join::Step, course(theirs, size)),
        series("arbiter", Hue::Arbiter, Join::Line, course(ours, size)),
    ];
    let picture = Picture {
        title: format!("One recorded day: {name}"),
        words: "What is paid follows the work: few large pods, which are trimmed in place while they wait.".to_owned(),
        below: "hours of the second day".to_owned(),
        panels: vec![
            of_day("cores: work that arrives, CPU requests of all pods", 150.0, cores, whole),
            of_day("replicas", 90.0, replicas, whole),
            of_day("CPU request of a pod, in cores", 90.0, sizes, tenths),
        ],
    };
    picture.svg()
}

/// How the replica that leaves next fills its counter.
fn counter(name: &str, ours: &[(f64, Tick)]) -> String {
    let idle = |tick: &Tick| tick.decision.explain.hold.as_ref().map_or(0.0, |hold| hold.idle_seconds.get() / 60.0);
    let every =
        |value: &dyn Fn(&Tick) -> f64| ours.iter().step_by(2).map(|(at, tick)| (at / 3600.0, value(tick))).collect();
    let most = |tick: &Tick| {
        let hold = tick.decision.explain.hold.as_ref();
        hold.map(|hold| (hold.idle_seconds.get() + hold.seconds_left.get()) / 60.0)
    };
    let hold = ours.iter().filter_map(|(_, tick)| most(tick)).fold(0.0, f64::max);
    let counter = vec![
        series("hold", Hue::Quiet, Join::Dash, vec![(0.0, hold), (24.0, hold)]),
        series("idle time", Hue::Arbiter, Join::Line, every(&idle)),
    ];
    let replicas = vec![series("decided", Hue::Arbiter, Join::Step, every(&|tick| tick.decision.replicas.as_f64()))];
    let picture = Picture {
        title: format!("The counter of the replica that leaves next: {name}"),
        words: "It fills while the replica is not worth its price, empties when it is; full, the replica leaves."
            .to_owned(),
        below: "hours of the second day".to_owned(),
        panels: vec![of_day("minutes of idle time", 130.0, counter, whole), of_day("replicas", 80.0, replicas, whole)],
    };
    picture.svg()
}

/// The utilization that is allowed to a pod of each size, as decisions tell it.
fn utilization(load: &Load) -> Result<String, Failure> {
    const SIZES: [f64; 11] = [0.125, 0.177, 0.25, 0.354, 0.5, 0.707, 1.0, 1.414, 2.0, 2.828, 4.0];
    let objectives = [(50.0, Hue::Other), (20.0, Hue::Arbiter), (10.0, Hue::Rival)];
    let mut lines = Vec::new();
    for (multiple, hue) in objectives {
        let mut points = Vec::new();
        for size in SIZES {
            if let Some(allowed) = allowed(load, multiple, size)? {
                points.push((maths::log2(size), allowed * 100.0));
            }
        }
        lines.push(series(&format!("objective {multiple:.0} × work"), hue, Join::Line, points));
    }
    let word = |size: f64| (maths::log2(size), format!("{size}"));
    let percent = |share: f64| (share, format!("{share:.0} %"));
    let panel = Panel {
        name: "utilization with which 99 % of requests are in time".to_owned(),
        height: 180.0,
        across: Axis { low: -3.0, high: 2.0, ticks: [0.125, 0.25, 0.5, 1.0, 2.0, 4.0].map(word).to_vec() },
        up: Axis { low: 0.0, high: 100.0, ticks: [0.0, 25.0, 50.0, 75.0, 100.0].map(percent).to_vec() },
        series: lines,
    };
    let picture = Picture {
        title: "Allowed utilization by size of a pod".to_owned(),
        words: "A large pod pools its work: the same latency at a higher utilization.".to_owned(),
        below: "CPU request of a pod, in cores".to_owned(),
        panels: vec![panel],
    };
    Ok(picture.svg())
}

/// The utilization that the model allows to pods of a fixed size, before anything was measured of it.
fn allowed(load: &Load, multiple: f64, size: f64) -> Result<Option<f64>, Failure> {
    /// The model knows the work of a request by then, and feedback has not begun.
    const PLAYED: Seconds = Seconds(840.0);
    let mut scenario = Scenario::from_trace(load.clone(), TraceOptions::default());
    scenario.duration = PLAYED;
    scenario.service.objective = Seconds(scenario.service.work.get() * multiple);
    scenario.service.request_cores = Cores(size);
    if let Some(latency) = &mut scenario.policy.objective.latency {
        latency.target = scenario.service.objective;
    }
    let rule = &mut scenario.policy.containers.default;
    (rule.cpu_min, rule.cpu_max) = (Some(Cores(size)), Some(Cores(size)));
    let controller = controller("arbiter", &scenario).map_err(|error| Failure::Input(error.to_string()))?;
    let mut run = Run::new(&scenario, controller, 1);
    let last = std::iter::from_fn(|| run.advance()).last();
    Ok(last.and_then(|tick| tick.decision.explain.allowed_utilization))
}

/// Cost against lateness: every controller as a point, means over all recordings.
fn plane(measured: &Measured<'_>) -> Option<Picture> {
    let names = ["arbiter", "hpa70", "hpa70-vpa", "hpa-hindsight", "oracle-n"];
    let traces: Vec<&str> = Half::ALL.into_iter().flat_map(|half| measured.traces(half, USUAL)).collect();
    let cost = |trace: &str, at| measured.results.mean(trace, at, |score| Some(score.cost_usd.get()));
    let point = |name: &'static str| {
        let at = (USUAL, name);
        let costs: Option<Vec<f64>> =
            traces.iter().map(|trace| Some(cost(trace, at)? / cost(trace, ORACLE)?)).collect();
        let lates: Option<Vec<f64>> = traces.iter().map(|trace| measured.results.mean(trace, at, late)).collect();
        Some((geomean(&costs?)?, mean(&lates?)? * 100.0))
    };
    let mut dots = Vec::new();
    for name in names {
        let hue = match name {
            "arbiter" => Hue::Arbiter,
            "oracle-n" => Hue::Other,
            _ => Hue::Rival,
        };
        dots.push(series(name, hue, Join::Dots, vec![point(name)?]));
    }
    let most = dots.iter().flat_map(|dot| &dot.points).map(|point| point.0).fold(0.0, f64::max);
    let up = Axis::from_zero(highest(&dots), |late| format!("{late:.0} %"));
    let across = Axis::from_zero(most, |cost| format!("{cost:.1}"));
    let panel = Panel { name: "requests over the objective, mean".to_owned(), height: 220.0, across, up, series: dots };
    Some(Picture {
        title: "What is paid and what is late".to_owned(),
        words: format!("Means over {} recordings, peak 8 cores; the best place is the lower left.", traces.len()),
        below: "cost over that of oracle-n, geometric mean".to_owned(),
        panels: vec![panel],
    })
}

/// J by the budget of trims.
fn trims(measured: &Measured<'_>) -> Option<Picture> {
    let budgets = [TRIMS[0].0, TRIMS[1].0, USUAL, TRIMS[2].0];
    let mut lines = Vec::new();
    for (half, hue) in Half::ALL.into_iter().zip([Hue::Rival, Hue::Arbiter]) {
        let point = |(place, setting): (usize, &str)| {
            let traces = measured.traces(half, setting);
            let ratios: Option<Vec<f64>> =
                traces.iter().map(|trace| measured.results.ratio(trace, (setting, "arbiter"), ARBITER)).collect();
            Some((place as f64, geomean(&ratios?)? * 100.0))
        };
        // A half that was not measured has no line.
        let points: Option<Vec<(f64, f64)>> = budgets.into_iter().enumerate().map(point).collect();
        lines.extend(points.map(|points| series(half.name(), hue, Join::Line, points)));
    }
    if lines.is_empty() {
        return None;
    }
    let values = lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    let (low, high) = values.fold((100.0_f64, 100.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let percent = |share: f64| (share, format!("{share:.0} %"));
    let (low, high) = ((low - 1.0).floor(), (high + 1.0).ceil());
    let word = |(place, word): (usize, &str)| (place as f64, word.to_owned());
    let panel = Panel {
        name: "J over that of the default budget, geometric mean".to_owned(),
        height: 160.0,
        across: Axis {
            low: -0.2,
            high: 3.2,
            ticks: ["0", "24", "96", "unlimited"].into_iter().enumerate().map(word).collect(),
        },
        up: Axis { low, high, ticks: [low, 100.0, high].map(percent).to_vec() },
        series: lines,
    };
    Some(Picture {
        title: "What trims are worth".to_owned(),
        words: "A trim takes CPU from a running pod; growth has no budget.".to_owned(),
        below: "budget: trims per pod and day".to_owned(),
        panels: vec![panel],
    })
}
