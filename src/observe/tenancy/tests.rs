//! Ways out of a namespace by what a policy says, one test each: all are refused or lead nowhere.

use serde_json::{Value, json};

use super::*;
use crate::{api::ScalingPolicy, policy::compile};

fn tenancy() -> Tenancy {
    Tenancy::new([], vec!["namespace".to_owned(), "exported_namespace".to_owned()], ["nats.shared:8222".to_owned()])
}

fn policy(signal: &Value) -> Policy {
    let spec =
        json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "signals": [signal]});
    let mut policy = ScalingPolicy::new("web", serde_json::from_value(spec).unwrap());
    policy.metadata.namespace = Some("shop".to_owned());
    compile(&policy).unwrap()
}

/// A query after confinement, or what is said of it.
fn query(text: &str) -> Result<String, String> {
    let mut policy = policy(&json!({"name": "load", "role": "Demand", "prometheus": {"query": text}}));
    tenancy().confine(&mut policy).map_err(|problems| problems[0].to_string())?;
    let Source::Prometheus { query } = &policy.signals[0].source else { panic!("not a query") };
    Ok(query.clone())
}

fn refused(text: &str) {
    let said = query(text).expect_err(text);
    assert!(said.starts_with("spec.signals[0].prometheus.query: asks for another namespace: write "), "{said}");
    assert!(!said.contains("bank"), "it repeats what the author wished for: {said}");
}

#[test]
fn a_selector_without_a_namespace_gets_its_own() {
    for (text, confined) in [
        ("x", r#"x{namespace="shop"}"#),
        ("sum(rate(x[1m]))", r#"sum(rate(x{namespace="shop"}[1m]))"#),
        (r#"{__name__=~"x|y"}"#, r#"{__name__=~"x|y",namespace="shop"}"#),
        (r#"x{namespace="shop",app="web"}"#, r#"x{app="web",namespace="shop"}"#),
        (r#"x{exported_namespace="shop",namespace="ingress"}"#, r#"x{exported_namespace="shop",namespace="ingress"}"#),
    ] {
        assert_eq!(query(text).as_deref(), Ok(confined));
    }
    assert_eq!(query("vector(1) + time()").as_deref(), Ok("vector(1) + time()"), "it reads nobody's series");
}

#[test]
fn another_namespace_by_equality() {
    refused(r#"x{namespace="bank"}"#);
    refused(r#"x{exported_namespace="bank"}"#);
    refused(r#"x{namespace="shop",namespace="bank"}"#);
}

#[test]
fn other_namespaces_by_a_pattern_or_by_what_they_are_not() {
    refused(r#"x{namespace=~".*"}"#);
    refused(r#"x{namespace=~"shop|bank"}"#);
    refused(r#"x{namespace!="shop"}"#);
    refused(r#"x{namespace!~"shop"}"#);
    refused(r#"x{namespace=""}"#);
    refused(r#"x{namespace="shop",namespace=~".*"}"#);
}

#[test]
fn an_injection_through_a_label_value_stays_a_label_value() {
    let text = query(r#"x{app="web\"} or y{namespace=\"bank"}"#).unwrap();
    assert_eq!(text, r#"x{app="web\"} or y{namespace=\"bank",namespace="shop"}"#);
    assert!(query("x{app=`web\"} or y{namespace=\"bank`}").unwrap().ends_with(r#"namespace="shop"}"#));
}

#[test]
fn a_name_that_is_no_name_is_not_printed_as_one() {
    assert_eq!(query(r#"{"x} or y{"}"#).as_deref(), Ok(r#"{__name__="x} or y{",namespace="shop"}"#));
    assert!(query(r#"{__name__="x} or y{"}"#).unwrap().ends_with(r#",namespace="shop"}"#), "a value stays one");
}

#[test]
fn other_namespaces_inside_functions_subqueries_and_parameters() {
    for inner in [r#"y{namespace="bank"}"#, r#"y{namespace=~"b.*"}"#] {
        refused(&format!("absent({inner})"));
        refused(&format!("max_over_time({inner}[5m:30s])"));
        refused(&format!("max_over_time(rate({inner}[1m])[5m:30s] offset 5m)"));
        refused(&format!("topk(scalar({inner}), x)"));
        refused(&format!("quantile(scalar({inner}), x)"));
        refused(&format!("label_replace({inner}, \"namespace\", \"shop\", \"\", \"\")"));
        refused(&format!("vector(scalar({inner}))"));
        refused(&format!("count_values(\"namespace\", {inner})"));
        refused(&format!("-({inner})"));
        refused(&format!("{inner} @ end()"));
    }
    let text = query("topk(scalar(count(y)), max_over_time(rate(x[1m])[5m:30s]))").unwrap();
    assert_eq!(text.matches(r#"namespace="shop""#).count(), 2, "{text}");
}

#[test]
fn other_namespaces_behind_or_on_either_level() {
    refused(r#"x{namespace="shop"} or y{namespace="bank"}"#);
    refused(r#"x unless on (pod) y{namespace="bank"}"#);
    refused(r#"{namespace="shop" or namespace="bank"}"#);
    let text = query(r#"{app="web" or app="api"}"#).unwrap();
    assert_eq!(text.matches(r#"namespace="shop""#).count(), 2, "each alternative: {text}");
}

#[test]
fn comments_do_not_reach_the_server() {
    let text = query("x{app=\"web\"} # } or y{namespace=\"bank\"}").unwrap();
    assert_eq!(text, r#"x{app="web",namespace="shop"}"#);
    refused("x # {namespace=\"shop\"}\n or y{namespace=\"bank\"}");
}

#[test]
fn escapes_and_quoting_do_not_hide_a_label_or_its_value() {
    refused(r#"x{namespace="\u0062ank"}"#);
    refused(r#"x{namespace="\x62ank"}"#);
    refused(r"x{namespace='bank'}");
    refused("x{namespace=`bank`}");
    refused(r#"{"namespace"="bank", __name__="x"}"#);
    refused(r#"{"\u006eamespace"="bank", __name__="x"}"#);
    assert_eq!(query(r#"x{namespace="\u0073hop"}"#).as_deref(), Ok(r#"x{namespace="shop"}"#));
    // Another letter that looks like one is another label, which pins nothing.
    assert!(query("{\"nаmespace\"=\"shop\", __name__=\"x\"}").unwrap().contains(r#",namespace="shop""#));
}

#[test]
fn a_function_that_reads_series_by_itself() {
    let said = query("info(x)").unwrap_err();
    assert!(said.contains("info() reads series of other namespaces"), "{said}");
    assert!(query("sum(info(x, {k8s_cluster_name=~\".+\"}))").is_err());
}

#[test]
fn a_histogram_of_another_namespace() {
    let with = |matchers: Value| {
        let source = json!({"metric": "h", "matchers": matchers});
        let mut policy = policy(&json!({"name": "latency", "role": "Latency", "prometheusHistogram": source}));
        tenancy().confine(&mut policy).map_err(|problems| problems[0].to_string())?;
        let Source::PrometheusHistogram { matchers, .. } = &policy.signals[0].source else { panic!("no histogram") };
        Ok::<_, String>(matchers.clone())
    };
    let said = with(json!({"namespace": "bank"})).unwrap_err();
    assert!(said.starts_with("spec.signals[0].prometheusHistogram.matchers[namespace]: asks for another"), "{said}");
    assert!(!said.contains("bank"), "{said}");
    assert_eq!(with(json!({"app": "web"})).unwrap()["namespace"], "shop");
    assert!(!with(json!({"exported_namespace": "shop"})).unwrap().contains_key("namespace"));
    assert_eq!(with(json!({"app": "a\",namespace=\"bank"})).unwrap()["namespace"], "shop");
}

#[test]
fn a_host_that_is_no_service_of_the_namespace() {
    let with = |url: &str| {
        let source = json!({"monitoringUrls": [url], "stream": "s", "consumer": "c"});
        let mut policy = policy(&json!({"name": "queue", "role": "Backlog", "natsJetStream": source}));
        tenancy().confine(&mut policy).map_err(|problems| problems[0].to_string())
    };
    for url in [
        "http://nats.bank:8222",
        "http://nats:8222",
        "http://shop:8222",
        "http://nats.shop.evil.example:8222",
        "http://nats.shopsvc:8222",
        "http://a.nats.shop:8222",
        "http://169.254.169.254",
        "http://127.0.0.1:8222",
        "http://2130706433:8222",
        "http://0x7f.1:8222",
        "http://[::1]:8222",
        "http://[::ffff:127.0.0.1]:8222",
        "http://[::ffff:a9fe:a9fe]",
        "http://[fe80::1]:8222",
        "http://localhost:8222",
        "http://nats.shared:4222",
    ] {
        let said = with(url).expect_err(url);
        assert!(said.starts_with("spec.signals[0].natsJetStream.monitoringUrls[0]: names no Service of"), "{said}");
        assert!(said.contains("http://SERVICE.shop:PORT"), "{said}");
    }
    for url in [
        "http://nats.shop:8222",
        "http://nats.shop.svc:8222",
        "https://nats.shop.svc.cluster.local.:8222",
        "http://NATS.SHOP:8222",
        "http://nats.shared:8222",
    ] {
        assert_eq!(with(url), Ok(()), "{url}");
    }
}

#[test]
fn all_that_is_not_allowed_is_said_at_once() {
    let spec = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "signals": [
        {"name": "a", "role": "Demand", "prometheus": {"query": "x{namespace=\"bank\"}"}},
        {"name": "b", "role": "Demand", "prometheus": {"query": "x"}},
        {"name": "c", "role": "Backlog", "natsJetStream": {"monitoringUrls": ["http://a.bank:1", "http://b.bank:1"], "stream": "s", "consumer": "c"}},
    ]});
    let mut object = ScalingPolicy::new("web", serde_json::from_value(spec).unwrap());
    object.metadata.namespace = Some("shop".to_owned());
    let problems = tenancy().confine(&mut compile(&object).unwrap()).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.signals[0].prometheus.query",
            "spec.signals[2].natsJetStream.monitoringUrls[0]",
            "spec.signals[2].natsJetStream.monitoringUrls[1]"
        ]
    );
    assert_eq!(Problem::summary(&problems).0, "NotAllowed");
}

#[test]
fn a_trusted_namespace_is_left_alone() {
    let mut bank = policy(&json!({"name": "load", "role": "Demand", "prometheus": {"query": "x{namespace=\"bank\"}"}}));
    let before = bank.clone();
    for trusted in ["shop", "*"] {
        assert_eq!(Tenancy::new([trusted.to_owned()], Vec::new(), []).confine(&mut bank), Ok(()));
        assert_eq!(bank, before);
    }
    assert!(Tenancy::new(["bank".to_owned()], Vec::new(), []).confine(&mut bank).is_err(), "another one is trusted");
}

#[test]
fn a_query_deeper_than_a_stack_is_refused() {
    let most = 4096;
    let deep = [
        format!("{}x{}", "(".repeat(most / 2 - 1), ")".repeat(most / 2 - 1)),
        "x+".repeat(most / 2 - 1) + "x",
        "-".repeat(most - 1) + "x",
        "abs(".repeat(most / 5) + "x" + &")".repeat(most / 5),
    ];
    // Half of the stack that a thread of the controller has, in a build that optimises less.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for text in deep {
            let refused = queries::confine(&text, "shop", &["namespace".to_owned()]).unwrap_err();
            assert!(refused.contains("more than 100 deep"), "{refused}");
        }
    });
    thread.expect("a thread").join().expect("no query fills the stack");
}
