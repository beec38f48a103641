use serde_json::json;

use super::*;

fn hpa(name: &str, target: &str, version: u64) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("u-{name}"), "resourceVersion": version.to_string(), "generation": 1},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}, "minReplicas": 2, "maxReplicas": 5},
        "status": {"observedGeneration": 1},
    })
}

fn vpa(mode: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "u-vpa", "resourceVersion": "1"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "web"}, "updatePolicy": {"updateMode": mode}},
    })
}

fn key(name: &str) -> RivalKey {
    ("shop".into(), Kind::Hpa, name.into())
}

fn web() -> TargetRef {
    TargetRef { kind: "Deployment".into(), name: "web".into() }
}

fn policy() -> PolicyKey {
    PolicyKey { namespace: "shop".into(), name: "web".into() }
}

fn names(rivals: &Rivals) -> Vec<String> {
    rivals.around(&policy(), Some(&web()), Instant::now()).iter().map(|rival| rival.name().to_owned()).collect()
}

#[test]
fn what_names_the_target_is_found_and_what_does_not_is_not() {
    let mut rivals = Rivals::default();
    let now = Instant::now();
    assert!(rivals.keep(Kind::Hpa, hpa("a", "web", 1), now));
    rivals.keep(Kind::Hpa, hpa("b", "api", 1), now);
    assert_eq!(names(&rivals), ["a"]);
    rivals.keep(Kind::Hpa, hpa("a", "api", 2), now);
    assert!(names(&rivals).is_empty(), "it names another target now");
    rivals.keep(Kind::Hpa, hpa("a", "web", 3), now);
    rivals.forget(&key("a"));
    assert!(names(&rivals).is_empty());
}

#[test]
fn a_late_event_does_not_undo_what_we_wrote_but_a_relist_does() {
    let mut rivals = Rivals::default();
    let now = Instant::now();
    rivals.keep(Kind::Hpa, hpa("a", "api", 7), now);
    assert!(!rivals.keep_newer(Kind::Hpa, hpa("a", "web", 6), now));
    assert!(names(&rivals).is_empty());
    assert!(rivals.keep(Kind::Hpa, hpa("a", "web", 6), now));
    assert_eq!(names(&rivals), ["a"]);
}

#[test]
fn a_status_that_only_counts_wakes_nobody() {
    let mut rivals = Rivals::default();
    let now = Instant::now();
    rivals.keep(Kind::Hpa, hpa("a", "web", 1), now);
    let mut counted = hpa("a", "web", 2);
    counted["status"]["currentReplicas"] = 4.into();
    assert!(!rivals.keep_newer(Kind::Hpa, counted, now));
    let mut unseen = hpa("a", "web", 3);
    unseen["metadata"]["generation"] = 2.into();
    assert!(rivals.keep_newer(Kind::Hpa, unseen, now), "its controller has something new to see");
}

#[test]
fn what_only_time_makes_quiet_is_quiet_after_a_settled_minute_without_a_break() {
    let mut rivals = Rivals::default();
    let t0 = Instant::now();
    let quiet = |rivals: &Rivals, seconds: u64| {
        rivals.around(&policy(), Some(&web()), t0 + Duration::from_secs(seconds))[0].quiet
    };
    rivals.keep(Kind::Vpa, vpa("Off"), t0);
    assert!(!quiet(&rivals, 59));
    assert!(quiet(&rivals, 60));
    rivals.keep(Kind::Vpa, vpa("Recreate"), t0 + Duration::from_secs(70));
    rivals.keep(Kind::Vpa, vpa("Off"), t0 + Duration::from_secs(71));
    assert!(!quiet(&rivals, 100), "it was awake meanwhile");
    assert!(quiet(&rivals, 131));
}

#[test]
fn an_epoch_needs_every_kind_in_every_scope() {
    let mut rivals = Rivals::default();
    let scopes = ["shop".to_owned(), "web".to_owned()];
    for kind in Kind::ALL {
        rivals.mark_read(kind, "shop", 1);
        assert!(!rivals.fresh(&scopes, 1));
    }
    rivals.mark_read(Kind::Hpa, "web", 1);
    rivals.mark_read(Kind::Vpa, "web", 1);
    assert!(rivals.mark_blind(Kind::ScaledObject, "web", "grant the verb".into(), 1));
    assert!(rivals.fresh(&scopes, 1));
    assert!(!rivals.fresh(&scopes, 2));
    assert_eq!(rivals.blind("web").len(), 1);
    assert!(rivals.blind("shop").is_empty());
}
