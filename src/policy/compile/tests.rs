//! Tests of `compile`: what each field becomes, what each mistake says, and that no spec makes it panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    policy::{
        BacklogObjective, DirectionRules, LatencyObjective, Limits, MaxUnavailable, Mode, Preference, ProblemKind,
        RateLimit, ResizeStrategy, Role, SelectPolicy, Source,
    },
    units::{Bytes, Cores},
};

/// A policy on the Deployment `web`, with these fields besides.
fn policy(fields: Value) -> ScalingPolicy {
    let mut spec = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
    let Value::Object(fields) = fields else { panic!("not fields: {fields}") };
    spec.as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(json!({
        "apiVersion": "autoscaling.arbiter.io/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": spec,
    }))
    .expect("a policy")
}

fn good(fields: Value) -> Policy {
    compile(&policy(fields)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Every problem as one line.
fn bad(fields: Value) -> Vec<String> {
    compile(&policy(fields)).expect_err("problems").iter().map(ToString::to_string).collect()
}

fn demand() -> Value {
    json!({"name": "requests", "role": "Demand", "prometheus": {"query": "sum(rate(http_requests_total[1m]))"}})
}

#[test]
fn the_smallest_policy_has_every_default() {
    let policy = good(json!({}));
    assert_eq!(policy.key.to_string(), "shop/web");
    assert_eq!((policy.mode, policy.levers), (Mode::Recommend, Levers::ALL));
    assert_eq!((policy.replicas.min, policy.replicas.max), (Replicas(1), Replicas(10)));
    assert_eq!((policy.objective.utilization, policy.objective.utilization_given), (0.7, false));
    assert_eq!((policy.objective.latency, policy.objective.backlog), (None, None));
    assert_eq!(policy.objective.preference, Preference::Balanced);
    assert_eq!((policy.resize.strategy, policy.resize.trims_per_pod_per_day), (ResizeStrategy::InPlaceOnly, 96));
    assert_eq!(policy.containers.of("any").limits, Limits::Proportional);
    assert_eq!((policy.on_signal_loss, policy.on_rival), (None, OnRival::Floor));
    assert_eq!(policy.behavior, crate::policy::Behavior::default());
    assert!(policy.signals.is_empty());
}

#[test]
fn sizes_are_read_from_numbers_and_text_alike() {
    let policy = good(json!({"containers": [
        {"name": "*", "cpu": {"min": "50m", "max": 4}, "memory": {"min": "64Mi", "max": 4_294_967_296_i64}},
        {"name": "proxy", "cpu": {"max": "4"}, "limits": "Unchanged"},
    ]}));
    let any = policy.containers.of("app");
    assert_eq!((any.cpu_min, any.cpu_max), (Some(Cores(0.05)), Some(Cores(4.0))));
    assert_eq!((any.memory_min, any.memory_max), (Some(Bytes(64 << 20)), Some(Bytes(4 << 30))));
    let proxy = policy.containers.of("proxy");
    assert_eq!((proxy.cpu_min, proxy.cpu_max, proxy.limits), (None, any.cpu_max, Limits::Unchanged));
}

#[test]
fn objectives_and_signals_are_read() {
    let policy = good(json!({
        "objective": {
            "latency": {"signal": "latency", "target": "250ms"},
            "backlog": {"signal": "queue", "drainWithin": "1m30s"},
            "utilization": {"cpu": 65},
            "preference": "Cautious",
        },
        "signals": [
            demand(),
            {"name": "latency", "role": "Latency", "prometheusHistogram": {"metric": "http_duration_seconds"}},
            {"name": "queue", "role": "Backlog", "natsJetStream":
                {"monitoringUrls": ["http://nats.memes:8222/"], "stream": "JOBS", "consumer": "worker"}},
        ],
        "onSignalLoss": {"minReplicas": 4},
    }));
    let latency = LatencyObjective { signal: "latency".into(), target: Seconds(0.25), objective: 0.99 };
    assert_eq!(policy.objective.latency, Some(latency));
    let backlog = BacklogObjective { signal: "queue".into(), drain_within: Seconds(90.0) };
    assert_eq!(policy.objective.backlog, Some(backlog));
    assert_eq!((policy.objective.utilization, policy.objective.utilization_given), (0.65, true));
    assert_eq!(policy.signal_of(Role::Demand).expect("demand").name, "requests");
    let Source::PrometheusHistogram { window, .. } = &policy.signals[1].source else { panic!("not a histogram") };
    assert_eq!(*window, Seconds(60.0));
    let Source::NatsJetStream { monitoring_urls, account, .. } = &policy.signals[2].source else {
        panic!("not a queue")
    };
    assert_eq!((monitoring_urls[0].as_str(), account.as_str()), ("http://nats.memes:8222", "$G"));
    assert_eq!(policy.signals.iter().map(|s| s.survives_zero).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(policy.on_signal_loss, Some(SignalLoss { after: Seconds(300.0), min_replicas: Replicas(4) }));
}

#[test]
fn a_direction_of_behavior_is_absent_or_as_an_hpa_fills_it() {
    let period = Seconds(15.0);
    let up = DirectionRules {
        stabilization: Some(Seconds::ZERO),
        select: SelectPolicy::Min,
        rates: vec![RateLimit::Pods { value: 4, period }, RateLimit::Percent { value: 100, period }],
        tolerance: None,
    };
    let behavior = good(json!({"behavior": {"scaleUp": {"selectPolicy": "Min"}}})).behavior;
    assert_eq!((behavior.scale_up, behavior.scale_down), (Some(up), None));
    let down = DirectionRules {
        stabilization: Some(Seconds(300.0)),
        select: SelectPolicy::Max,
        rates: vec![RateLimit::Percent { value: 100, period }],
        tolerance: Some(0.05),
    };
    let behavior = good(json!({"behavior": {"scaleUp": {}, "scaleDown": {"tolerance": "0.05"}}})).behavior;
    assert_eq!((behavior.scale_up, behavior.scale_down), (None, Some(down)));
    let own = json!({"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}});
    let rates = good(own).behavior.scale_down.expect("given").rates;
    assert_eq!(rates, [RateLimit::Pods { value: 1, period: Seconds(60.0) }]);
}

#[test]
fn all_problems_are_said_at_once() {
    let problems = bad(json!({
        "levers": ["Cpu", "Cpu"],
        "objective": {"latency": {"signal": "requests", "target": "250"}, "backlog": {"signal": "queue", "drainWithin": "0s"}},
        "replicas": {"min": 0, "max": 0},
        "containers": [{"name": "app", "cpu": {"min": "2", "max": "500m"}, "memory": {"max": "lots"}}],
        "signals": [{"name": "requests", "role": "Demand", "prometheus": {"query": "rate("}}],
        "resize": {"strategy": "InPlaceOrRecreate", "maxUnavailable": "0"},
        "allowVolumeDeletion": true,
    }));
    let expected = [
        "spec.levers[1]: Cpu is named twice",
        "spec.signals[0].prometheus.query: parse error at \"rate(\": unclosed left parenthesis: close it, for example rate(x[1m])",
        "spec.objective.latency.signal: signal \"requests\" (spec.signals[0]) has role Demand: name one with role Latency",
        "spec.objective.latency.target: \"250\" is not a duration: write a number and a unit (h, m, s, ms), for example 250ms or 1h30m",
        "spec.objective.backlog.signal: there is no signal \"queue\": add an entry to spec.signals with role: Backlog",
        "spec.objective.backlog.drainWithin: must be at least 1s, for example 30s",
        "spec.replicas.max: must be at least 1",
        "spec.containers[0].cpu.min: is 2, and max is 500m: min must not be more than max",
        "spec.containers[0].memory.max: \"lots\" is not a quantity: write a number with an optional suffix, for example 250m, 1.5 or 512Mi",
        "spec.resize.maxUnavailable: \"0\" is not a number of pods from 1, nor a percentage from 1% to 100%",
        "spec.replicas.min: is 0, and no signal tells of work while no pod runs: if spec.signals[0] is measured without pods, set its survivesZero: true",
        "spec.allowVolumeDeletion: deleting volumes of a StatefulSet that shrinks is not available in this version: leave it out",
    ];
    assert_eq!(problems, expected);
}

/// Fields, the path of the one problem, and a part of what is said.
#[test]
fn each_mistake_names_its_field() {
    let signal = |signal: Value| json!({"signals": [signal]});
    let query = |query: &str| signal(json!({"name": "a", "role": "Demand", "prometheus": {"query": query}}));
    let histogram = |extra: Value| {
        let mut source = json!({"metric": "x"});
        source.as_object_mut().expect("an object").extend(extra.as_object().expect("fields").clone());
        signal(json!({"name": "a", "role": "Latency", "prometheusHistogram": source}))
    };
    let nats = |url: &str, stream: &str| {
        let source = json!({"monitoringUrls": [url], "stream": stream, "consumer": "c"});
        signal(json!({"name": "a", "role": "Backlog", "natsJetStream": source}))
    };
    let cases = [
        (
            json!({"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "a"}}),
            "spec.targetRef.kind",
            "one pod per node",
        ),
        (
            json!({"targetRef": {"apiVersion": "apps", "kind": "Deployment", "name": "a"}}),
            "spec.targetRef.apiVersion",
            "apps/v1",
        ),
        (
            json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": ""}}),
            "spec.targetRef.name",
            "empty",
        ),
        (json!({"levers": []}), "spec.levers", "at least one of"),
        (json!({"replicas": {"min": 11}}), "spec.replicas.min", "max is 10 (the default)"),
        (json!({"replicas": {"min": -1}}), "spec.replicas.min", "negative"),
        (json!({"objective": {"utilization": {"cpu": 0}}}), "spec.objective.utilization.cpu", "1 to 100"),
        (json!({"containers": [{"name": "a"}, {"name": "a"}]}), "spec.containers[1].name", "once"),
        (json!({"containers": [{"name": "*"}, {"name": "*"}]}), "spec.containers[1].name", "once"),
        (json!({"containers": [{"name": "A"}]}), "spec.containers[0].name", "a-z"),
        (json!({"containers": [{"name": "a", "cpu": {"min": 0}}]}), "spec.containers[0].cpu.min", "more than 0"),
        (json!({"signals": [demand(), demand()]}), "spec.signals[1].name", "unique"),
        (signal(json!({"name": "a", "role": "Demand"})), "spec.signals[0]", "no source"),
        (query(" "), "spec.signals[0].prometheus.query", "empty"),
        (query("rate(x)"), "spec.signals[0].prometheus.query", "a range is missing, for example rate(x[1m])"),
        (query("x[1m]"), "spec.signals[0].prometheus.query", "wrap it"),
        (query("\"x\""), "spec.signals[0].prometheus.query", "text"),
        (query("nonsense(x)"), "spec.signals[0].prometheus.query", "unknown function"),
        (query(r#"x{a="\é"}"#), "spec.signals[0].prometheus.query", "a backslash stands before a character"),
        (query(&"x + ".repeat(2000)), "spec.signals[0].prometheus.query", "recording rule"),
        (histogram(json!({"metric": "x_bucket"})), "spec.signals[0].prometheusHistogram.metric", "write x"),
        (histogram(json!({"metric": "a-b"})), "spec.signals[0].prometheusHistogram.metric", "metric name"),
        (
            histogram(json!({"matchers": {"a.b": "c"}})),
            "spec.signals[0].prometheusHistogram.matchers[a.b]",
            "label name",
        ),
        (histogram(json!({"window": "2h"})), "spec.signals[0].prometheusHistogram.window", "5s to 1h"),
        (nats("nats:8222", "S"), "spec.signals[0].natsJetStream.monitoringUrls[0]", "http://"),
        (nats("http://a:b@nats", "S"), "spec.signals[0].natsJetStream.monitoringUrls[0]", "credentials"),
        (nats("http://nats:x", "S"), "spec.signals[0].natsJetStream.monitoringUrls[0]", "port"),
        (nats("http://nats/a", "S"), "spec.signals[0].natsJetStream.monitoringUrls[0]", "base URL"),
        (nats("http://nats", "S.>"), "spec.signals[0].natsJetStream.stream", "names have no spaces"),
        (json!({"behavior": {"scaleUp": {"policies": []}}}), "spec.behavior.scaleUp.policies", "Disabled"),
        (json!({"behavior": {"scaleDown": {"tolerance": "1.5"}}}), "spec.behavior.scaleDown.tolerance", "0 to below 1"),
        (
            json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": -1}}}),
            "spec.behavior.scaleDown.stabilizationWindowSeconds",
            "0 to 3600",
        ),
        (json!({"resize": {"maxUnavailable": "101%"}}), "spec.resize.maxUnavailable", "1% to 100%"),
        (json!({"resize": {"trimsPerPodPerDay": -1}}), "spec.resize.trimsPerPodPerDay", "negative"),
        (json!({"onSignalLoss": {"minReplicas": 11}}), "spec.onSignalLoss.minReplicas", "replicas.max is 10"),
        (json!({"onSignalLoss": {"after": "1s", "minReplicas": 1}}), "spec.onSignalLoss.after", "at least 10s"),
    ];
    for (fields, path, part) in cases {
        let problems = compile(&policy(fields.clone())).expect_err("a problem");
        assert_eq!(problems.len(), 1, "{fields}: {problems:#?}");
        assert_eq!((problems[0].path.as_str(), problems[0].kind), (path, ProblemKind::Invalid), "{fields}");
        assert!(problems[0].message.contains(part), "{fields}: {}", problems[0]);
    }
}

#[test]
fn what_a_later_release_brings_is_refused_by_name() {
    let source = |source: Value| {
        let mut signal = json!({"name": "a", "role": "Backlog"});
        signal.as_object_mut().expect("an object").extend(source.as_object().expect("a source").clone());
        json!({"signals": [signal]})
    };
    let nats = json!({"monitoringUrls": ["http://n"], "stream": "s", "consumer": "c", "authSecretRef": {"name": "x"}});
    let cases = [
        (source(json!({"rabbitmq": {"managementUrl": "http://r", "queue": "q"}})), "spec.signals[0].rabbitmq"),
        (source(json!({"redis": {"address": "r:6379", "list": "q"}})), "spec.signals[0].redis"),
        (source(json!({"externalMetric": {"metricName": "m"}})), "spec.signals[0].externalMetric"),
        (source(json!({"natsJetStream": nats})), "spec.signals[0].natsJetStream.authSecretRef"),
        (json!({"allowVolumeDeletion": true}), "spec.allowVolumeDeletion"),
    ];
    for (fields, path) in cases {
        let problems = compile(&policy(fields.clone())).expect_err("a problem");
        assert_eq!(problems.len(), 1, "{fields}: {problems:#?}");
        assert_eq!((problems[0].path.as_str(), problems[0].kind), (path, ProblemKind::NotYetSupported), "{fields}");
        assert_eq!(Problem::summary(&problems).0, "NotYetSupported");
    }
    good(json!({"allowVolumeDeletion": false}));
}

#[test]
fn pods_that_may_be_down_are_a_number_or_a_share() {
    let resize = |given: Value| good(json!({"resize": given})).resize;
    let plain = resize(json!({}));
    assert_eq!((plain.strategy, plain.max_unavailable), (ResizeStrategy::InPlaceOnly, MaxUnavailable::Percent(10)));
    let given = resize(json!({"strategy": "InPlaceOrRecreate", "maxUnavailable": 2}));
    assert_eq!((given.strategy, given.max_unavailable), (ResizeStrategy::InPlaceOrRecreate, MaxUnavailable::Pods(2)));
    let share = resize(json!({"maxUnavailable": "25%"})).max_unavailable;
    assert_eq!([1, 4, 7, 40].map(|n| share.of(n)), [1, 1, 1, 10], "rounded down, at least one");
    assert!(
        share.covers_the_last(4) && !share.covers_the_last(3),
        "the one that is rounded up is not meant for the last"
    );
    assert!(MaxUnavailable::Pods(1).covers_the_last(1));
}

#[test]
fn a_schedule_that_is_refused_has_its_mistakes_said() {
    let schedule = json!({"cron": "61 8 * * *", "duration": "10s", "timeZone": "Mars/Olympus", "minReplicas": 11});
    let problems = bad(json!({"schedules": [schedule]}));
    let paths: Vec<&str> = problems.iter().filter_map(|p| p.split_once(": ")).map(|(path, _)| path).collect();
    let fields = ["cron", "duration", "minReplicas", "timeZone"].map(|field| format!("spec.schedules[0].{field}"));
    assert_eq!(paths, fields);
}

#[test]
fn a_schedule_keeps_its_words_and_needs_the_count() {
    let schedule = json!({"cron": "0 8 * * 1-5", "duration": "10h", "timeZone": "Europe/Paris", "minReplicas": 2});
    let plain = json!({"cron": "30 1 * * *", "duration": "1m", "minReplicas": 10});
    let policy = good(json!({"schedules": [schedule, plain]}));
    let said: Vec<_> = policy.schedules.iter().map(|s| (s.cron(), s.time_zone(), s.duration, s.min_replicas)).collect();
    let expected = [
        ("0 8 * * 1-5", "Europe/Paris", Seconds(36_000.0), Replicas(2)),
        ("30 1 * * *", "UTC", Seconds(60.0), Replicas(10)),
    ];
    assert_eq!(said, expected);
    let problems = bad(json!({"schedules": [schedule], "levers": ["Cpu"]}));
    assert_eq!(problems, ["spec.schedules: need the lever Replicas: add it to spec.levers, or leave schedules out"]);
}

#[test]
fn zero_needs_a_signal_that_tells_of_work_while_no_pod_runs() {
    let zero = |signal: Value| json!({"replicas": {"min": 0}, "signals": [signal]});
    let nats = json!({"monitoringUrls": ["http://n"], "stream": "s", "consumer": "c"});
    let queue = json!({"name": "queue", "role": "Backlog", "natsJetStream": nats});
    let surviving = |mut signal: Value, survives: bool| {
        signal["survivesZero"] = json!(survives);
        signal
    };
    let saturation = json!({"name": "full", "role": "Saturation", "prometheus": {"query": "up"}, "survivesZero": true});
    for signal in [queue.clone(), surviving(demand(), true)] {
        assert!(good(zero(signal)).may_sleep());
    }
    let said = "spec.replicas.min: is 0, and no signal tells of work while no pod runs: ";
    let hint = "if spec.signals[0] is measured without pods, set its survivesZero: true";
    for signal in [demand(), surviving(queue, false)] {
        assert_eq!(bad(zero(signal)), [format!("{said}{hint}")]);
    }
    let add = "add a signal with role: Backlog (a queue), or one with role: Demand and survivesZero: true";
    for fields in [zero(saturation), json!({"replicas": {"min": 0}})] {
        assert_eq!(bad(fields), [format!("{said}{add}")]);
    }
}

#[test]
fn durations_are_as_the_schema_lets_them_through() {
    for (text, seconds) in
        [("250ms", 0.25), ("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("0s", 0.0)]
    {
        assert_eq!(parse_duration(text), Ok(Seconds(seconds)), "{text}");
    }
    for text in
        ["", "5", "m", "5 m", "-5m", "+5m", "5 minutes", "PT5M", ".5s", "1.s", "30s1h", "5d", "1h5", "5µs", "5m ago"]
    {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn queries_nested_to_the_bound_are_answered() {
    for query in [
        "(".repeat(4096),
        "-".repeat(4095) + "x",
        "(".repeat(2000) + "x" + &")".repeat(2000),
        "sum(".repeat(800) + "x" + &")".repeat(800),
    ] {
        drop(promql::check(&query));
    }
}

/// Any JSON that the API server would let through as far as its types go.
fn any_spec() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}",
        Just("rate(x[1m])".to_owned()),
        Just("30s".to_owned()),
        Just("http://a:1".to_owned()),
        Just("a".to_owned()),
        "[0-9.]{0,6}(m|s|h|ms|Mi|%|e9)?",
    ];
    let number = prop_oneof![any::<i32>(), -2..50_i32];
    let signal = (text.clone(), text.clone(), 0..7_usize, 0..4_usize).prop_map(|(name, value, source, role)| {
        let (key, source) = [
            ("prometheus", json!({"query": value})),
            ("prometheusHistogram", json!({"metric": value, "matchers": {value.clone(): value}, "window": value})),
            ("natsJetStream", json!({"monitoringUrls": [value], "stream": value, "consumer": value})),
            ("rabbitmq", json!({"managementUrl": value, "queue": value})),
            ("redis", json!({"address": value, "list": value})),
            ("externalMetric", json!({"metricName": value})),
            ("survivesZero", json!(true)),
        ][source]
            .clone();
        let role = ["Demand", "Backlog", "Latency", "Saturation"][role];
        json!({"name": name, "role": role, key: source})
    });
    let direction = (number.clone(), text.clone()).prop_map(|(n, t)| {
        json!({"stabilizationWindowSeconds": n, "tolerance": t, "policies": [{"type": "Pods", "value": n, "periodSeconds": n}]})
    });
    let many = proptest::collection::vec(signal, 0..4);
    (many, direction, number, text).prop_map(|(signals, direction, n, t)| {
        json!({
            "targetRef": {"apiVersion": t, "kind": t, "name": t},
            "objective": {
                "latency": {"signal": "a", "target": t, "objective": t},
                "backlog": {"signal": t, "drainWithin": t},
                "utilization": {"cpu": n},
            },
            "replicas": {"min": n, "max": n},
            "containers": [{"name": t, "cpu": {"min": t, "max": n}, "memory": {"min": n, "max": t}}],
            "signals": signals,
            "behavior": {"scaleUp": direction, "scaleDown": direction},
            "resize": {"maxUnavailable": t, "trimsPerPodPerDay": n},
            "schedules": [{"cron": t, "duration": t, "timeZone": t, "minReplicas": n}],
            "onSignalLoss": {"after": t, "minReplicas": n},
        })
    })
}

proptest! {
    #[test]
    fn any_spec_is_answered_with_paths_into_it(spec in any_spec()) {
        if let Err(problems) = compile(&policy(spec)) {
            for problem in problems {
                prop_assert!(problem.path.starts_with("spec."), "{}", problem);
                prop_assert!(!problem.message.is_empty());
            }
        }
    }

    #[test]
    fn any_query_is_answered(query in "[ -~]{0,60}|[a-z(){}\\[\\],\"=~+0-9 ]{0,60}|\\PC{0,30}") {
        drop(promql::check(&query));
    }

    #[test]
    fn any_duration_is_answered(text in "[0-9.hms]{0,12}|.{0,20}") {
        if let Ok(seconds) = parse_duration(&text) {
            prop_assert!(seconds.0.is_finite() && seconds >= Seconds::ZERO);
        }
    }
}

#[test]
fn a_query_that_the_parser_cannot_take_is_a_problem_and_not_the_end() {
    for query in ["x{a=\"\\é\"}", "x{a='\\€'}", "\\é", "\"\\x4é\""] {
        let found = promql::check(query).expect_err(query);
        assert!(found.starts_with("parse error at "), "{found}");
    }
    assert_eq!(promql::check("x{a=\"é\\n\"}"), Ok(()), "it may stand in a value");
}

#[test]
fn the_deepest_queries_that_a_policy_may_hold_are_answered() {
    let most = 4096;
    let deep = [
        format!("{}x{}", "(".repeat(most / 2 - 1), ")".repeat(most / 2 - 1)),
        "x+".repeat(most / 2 - 1) + "x",
        "x^".repeat(most / 2 - 1) + "x",
        "-".repeat(most - 1) + "x",
        "abs(".repeat(most / 5) + "x" + &")".repeat(most / 5),
        "x[1s:]".to_owned() + &"[1s:]".repeat(most / 5 - 2),
    ];
    // Half of the stack that a thread of the controller has, in a build that optimises less.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for query in deep {
            drop(promql::check(&query));
        }
    });
    thread.expect("a thread").join().expect("no query fills the stack");
}

#[test]
fn patterns_that_unroll_to_large_machines_are_few() {
    let heavy = |count: usize| format!("x{{{}}}", vec!["a=~\"\\\\pL{100}\""; count].join(","));
    assert_eq!(promql::check(&heavy(16)), Ok(()));
    assert!(promql::check(&heavy(17)).unwrap_err().contains("more than 16 patterns"));
}
