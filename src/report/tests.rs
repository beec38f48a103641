use super::*;
use crate::{
    decide::Reason,
    report::{findings::Part, panel::REASONS},
    simulate::{Load, Run, Scenario, Score, TraceOptions, controller, summary::RunScore},
    units::{Cores, Dollars},
};

const HOSTILE: &str = "</script><script>alert(1)</script>";

fn scenario() -> Scenario {
    let csv = "timestamp_s,rps\n0,100\n3600,300\n5400,\n7200,100\n";
    let load = Load::read("x.csv", csv.as_bytes(), None).expect("a load");
    let mut scenario = Scenario::from_trace(load, TraceOptions { warmup: Seconds(0.0), ..TraceOptions::default() });
    scenario.duration = Seconds(7200.0);
    scenario
}

fn panel(sizes: Sizes) -> (Panel, Vec<crate::simulate::Tick>) {
    let scenario = scenario();
    let mut run = Run::new(&scenario, controller("arbiter", &scenario).expect("there is one"), 1);
    let mut sampler = Sampler::new("arbiter", &scenario, sizes);
    let ticks: Vec<_> = std::iter::from_fn(|| run.advance()).collect();
    for tick in &ticks {
        sampler.tick(tick);
    }
    (sampler.finish().0, ticks)
}

fn report() -> Report {
    let (panel, _) = panel(Sizes::of(1));
    let finding = Finding {
        workload: HOSTILE.to_owned(),
        controller: "hpa70".to_owned(),
        kind: "unrest",
        says: "5 < 6 & \"so\"".to_owned(),
    };
    Report {
        groups: vec![Group { sentence: HOSTILE.to_owned(), ..Group::default() }],
        workloads: vec![Workload {
            name: HOSTILE.to_owned(),
            objective: Seconds(0.2),
            quantile: 0.99,
            duration: Seconds(7200.0),
            warmup: Seconds(0.0),
            panels: vec![panel],
        }],
        findings: vec![finding],
        ..Report::default()
    }
}

#[test]
fn peaks_and_dips_survive_any_coarseness() {
    let sizes = |buckets| Sizes { buckets, records: buckets, panels: 1 };
    for buckets in [3, 7, 100, 10_000] {
        let (panel, ticks) = panel(sizes(buckets));
        let length = buckets.min(ticks.len());
        assert_eq!((panel.short.len(), panel.demand.len(), panel.size.len()), (length, 2 * length, 2 * length));
        assert!((panel.bucket_s * length as f64 - 7200.0).abs() < 1.0);
        let extreme =
            |values: &mut dyn Iterator<Item = f64>| values.fold((f64::MAX, 0.0_f64), |e, x| (e.0.min(x), e.1.max(x)));
        for (series, value) in [
            (&panel.demand, (|tick| tick.truth.demand_cores.get()) as fn(&crate::simulate::Tick) -> f64),
            (&panel.capacity, |tick| tick.truth.capacity_cores.get()),
            (&panel.replicas, |tick| tick.truth.replicas.as_f64()),
        ] {
            let (low, high) = extreme(&mut series.iter().copied());
            let (least, most) = extreme(&mut ticks.iter().map(value));
            assert!(
                (low - least).abs() <= 0.005 && (high - most).abs() <= 0.005,
                "{buckets}: {low} {least} {high} {most}"
            );
        }
        let slowest = |values: &mut dyn Iterator<Item = Option<f64>>| values.flatten().fold(0.0, f64::max);
        let (kept, real) = (
            slowest(&mut panel.latency.iter().copied()),
            slowest(&mut ticks.iter().map(|tick| tick.truth.latency_seconds.map(Seconds::get))),
        );
        assert!((kept - real).abs() <= 0.0005, "{kept} {real}");
    }
}

#[test]
fn records_are_in_time_and_carry_sentence_and_alternatives() {
    let (panel, ticks) = panel(Sizes { buckets: 480, records: 480, panels: 1 });
    assert!(panel.records.windows(2).all(|pair| pair[0].at < pair[1].at));
    assert!(panel.records.iter().all(|record| !record.says.is_empty()));
    let weighed = panel.records.iter().find(|record| !record.weighed.is_empty()).expect("arbiter weighs alternatives");
    assert_eq!(weighed.weighed.iter().filter(|row| row[7] == 1.0).count(), 1);
    let (bucket, reason) = panel.band[panel.band.len() / 2];
    assert!(ticks.iter().any(|tick| tick.decision.reason == REASONS[reason]) && bucket < 480);
    assert_eq!(panel.band[0].0, 0);
}

#[test]
fn the_page_is_whole_small_and_calls_nobody() {
    let page = render(&report());
    assert!(page.len() < MAX_BYTES, "{} bytes", page.len());
    assert!(page.contains("plotly.js v3"), "plotting is in the file");
    assert!(!page.contains("MathJax.js") && page.len() < 6 << 20, "what nothing uses stays out: {} bytes", page.len());
    let ours = page.replace(plotly::Plot::offline_js_sources().split("</script>").next().expect("there is one"), "");
    assert!(ours.len() + (4 << 20) < page.len(), "plotly.js was taken out for this check");
    for outside in ["http://", "https://", "src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest"] {
        assert!(!ours.contains(outside), "{outside}");
    }
    assert!(ours.contains("default-src 'none'"));
    assert_eq!(page, render(&report()), "the same bytes again");
}

#[test]
fn names_are_only_ever_text() {
    let page = render(&report());
    assert!(!page.contains(HOSTILE));
    assert!(page.contains("&lt;/script&gt;") && page.contains("\\u003c/script>"));
    assert!(page.contains("5 &lt; 6 &amp; &quot;so&quot;"));
}

#[test]
fn many_panels_fit() {
    for panels in [1, 2, 10, 72, 160, 1000] {
        let sizes = Sizes::of(panels);
        let data = panels.min(sizes.panels) * (sizes.buckets * 70 + sizes.records * 420);
        // Where the least that a panel shows binds, a little more than planned; plotly.js leaves 3.3 MB.
        assert!(data < 3_000_000, "{panels} panels take {data} bytes");
    }
    assert!(Sizes::of(72).buckets > 250);
}

#[test]
fn reasons_mean_the_same_on_the_live_page() {
    let live = include_str!("../serve/page/reasons.js");
    for reason in REASONS {
        let entry = format!("{reason:?}: \"{}\"", meaning(reason));
        assert!(live.contains(&entry), "{entry}");
    }
    assert_eq!(REASONS.iter().filter(|reason| **reason == Reason::CpuDemand).count(), 1);
}

fn parts(list: &[(f64, f64, f64)]) -> Vec<Part> {
    list.iter().map(|(pods, size, demand)| Part::new(*pods, *size, *demand)).collect()
}

#[test]
fn a_fight_is_a_repeated_movement_of_count_and_size_against_each_other() {
    let ladder = parts(&[(4.0, 1.0, 3.0), (4.8, 0.83, 3.0), (5.8, 0.69, 3.1), (6.9, 0.58, 3.0)]);
    let says = findings::fight(&ladder, 1).expect("a fight");
    assert!(says.contains("4.0 → 6.9 pods of 1.00 → 0.58 cores for a demand of 3.0 → 3.0 cores"), "{says}");
    let once = parts(&[(4.0, 1.0, 3.0), (8.0, 0.5, 3.0), (8.0, 0.5, 3.0), (8.0, 0.5, 3.0)]);
    assert_eq!(findings::fight(&once, 1), None, "one exchange is a decision");
    let growth = parts(&[(4.0, 1.0, 3.0), (8.0, 0.9, 6.0), (16.0, 0.8, 12.0), (32.0, 0.7, 24.0)]);
    assert_eq!(findings::fight(&growth, 1), None, "demand asked for the pods");
    let to_and_fro: Vec<Part> = ladder.iter().chain(ladder.iter().rev()).copied().collect();
    assert_eq!(findings::fight(&to_and_fro, 1), None, "what comes back is no drift");
    let day = [(4.0, 1.0, 3.0), (9.0, 0.5, 3.0)];
    assert_eq!(findings::fight(&parts(&day.repeat(4)), 2), None, "a daily profile is no drift");
    assert_eq!(findings::fight(&[], 1), None);
}

#[test]
fn what_a_missing_signal_costs_is_said_beside_the_runs_that_lack_it() {
    let run = |controller: &str, cost: f64, late: f64, j: f64| RunScore {
        trace: "x".to_owned(),
        controller: controller.to_owned(),
        seed: 1,
        tiled: false,
        score: score(cost, late, j),
        j_over_oracle: None,
        j_over_oracle_n: None,
        j_over_oracle_lead: None,
    };
    let says = |arbiter: RunScore, less: RunScore| -> Vec<String> {
        let found = worth_of_signals(&[&arbiter, &less]);
        found.into_iter().map(|finding| format!("{}: {}", finding.controller, finding.says)).collect()
    };
    assert_eq!(
        says(run("arbiter", 8.8, 0.004, 9.0), run("arbiter-rate", 10.0, 0.011, 11.0)),
        [
            "arbiter-rate: with a latency signal this policy would have cost 12 % less, with 0.40 % instead of 1.10 % of requests late"
        ]
    );
    assert_eq!(
        says(run("arbiter", 10.5, 0.004, 11.0), run("arbiter-cpu", 10.0, 0.03, 14.0)),
        [
            "arbiter-cpu: with a demand signal and a latency signal this policy would have had 0.40 % instead of 3.00 % of requests late, for 5 % more"
        ]
    );
    assert_eq!(
        says(run("arbiter", 10.0, 0.01, 11.0), run("arbiter-rate", 10.0, 0.01, 11.05)),
        ["arbiter-rate: with a latency signal this policy would have gained nothing here"]
    );
    assert_eq!(says(run("arbiter", 10.0, 0.01, 11.0), run("hpa70", 10.0, 0.01, 11.05)), Vec::<String>::new());
}

fn score(cost: f64, late: f64, j: f64) -> Score {
    Score {
        hours: 48.0,
        cost_usd: Dollars(cost),
        violation_ratio: Some(late),
        j: Dollars(j),
        reversals_per_hour: 0.0,
        pod_starts_per_day: 1.0,
        resizes_per_pod_day: 1.0,
        trims_per_pod_day: 1.0,
        longest_saturated_hold_s: None,
        longest_saturated_hold_leads: None,
        evictions: 0,
        oom_kills: 0,
        backlog_late_ratio: None,
        mean_replicas: 3.0,
        mean_cpu_request_cores: Cores(3.0),
    }
}
