//! Each kind down and back, and every refusal, on objects as the API server shows them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn policy() -> Policy {
    Policy {
        name: "web".into(),
        uid: "p-1".into(),
        born: 100,
        resource_version: "7".into(),
        generation: 3,
        mode: Some(Mode::Auto),
        deleting: false,
        outranked: false,
        finalizers: vec!["other/keep".into()],
        levers: Sides::BOTH,
        target: TargetRef { kind: "Deployment".into(), name: "web".into() },
        force: false,
    }
}

fn object(kind: Kind, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(), "kind": kind.as_str(),
        "metadata": { "name": name, "namespace": "lab", "uid": format!("u-{name}"), "resourceVersion": "5", "generation": 1 },
        "spec": spec, "status": { "observedGeneration": 1 },
    })
}

fn hpa(name: &str) -> Rival {
    let spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "minReplicas": 2, "maxReplicas": 5, "metrics": [{ "type": "Resource" }],
    });
    Rival { kind: Kind::Hpa, object: object(Kind::Hpa, name, &spec), quiet: true }
}

fn vpa(update: Option<Value>) -> Rival {
    let mut spec = json!({ "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } });
    if let Some(update) = update {
        spec["updatePolicy"] = update;
    }
    Rival { kind: Kind::Vpa, object: object(Kind::Vpa, "web-vpa", &spec), quiet: true }
}

fn scaled_object(annotations: Option<Value>) -> Rival {
    let mut object = object(Kind::ScaledObject, "web-so", &json!({ "scaleTargetRef": { "name": "web" } }));
    if let Some(annotations) = annotations {
        object["metadata"]["annotations"] = annotations;
    }
    Rival { kind: Kind::ScaledObject, object, quiet: true }
}

fn seen(rivals: Vec<Rival>) -> Seen {
    Seen {
        policy: Some(policy()),
        namespace_going: false,
        target: Target { uid: Some("t-1".into()), replicas: Some(4) },
        rivals,
        blind: Vec::new(),
    }
}

/// Does what is said until nothing more is; returns the acts.
fn run(seen: &mut Seen) -> (Vec<Act>, Step) {
    let mut acts = Vec::new();
    for _ in 0..20 {
        match next(seen) {
            Step::Write(Write::Rival { act, object, .. }) => {
                acts.push(act);
                let rival = seen.rivals.iter_mut().find(|r| r.object["metadata"]["uid"] == object["metadata"]["uid"]);
                rival.unwrap().object = object;
            }
            Step::Write(Write::Finalizers { finalizers, .. }) => seen.policy.as_mut().unwrap().finalizers = finalizers,
            Step::Write(Write::BringInside { to, .. }) => seen.target.replicas = Some(to),
            step => return (acts, step),
        }
    }
    panic!("no end: {acts:?}")
}

fn refused(seen: &Seen) -> Refusal {
    assert_eq!(licence(seen), Sides::NONE);
    match next(seen) {
        Step::Refused(refusal) | Step::Wait(refusal) => refusal,
        step => panic!("{step:?}"),
    }
}

fn owned(rivals: Vec<Rival>) -> Seen {
    let mut seen = seen(rivals);
    assert_eq!(run(&mut seen).1, Step::Done(Outcome::Owned));
    seen
}

#[test]
fn every_kind_goes_down_and_comes_back_as_it_was() {
    let behavior = json!({ "scaleUp": { "selectPolicy": "Min", "tolerance": "50m", "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 9 }] } });
    let mut tuned = hpa("web");
    tuned.object["spec"]["behavior"] = behavior;
    let paused = json!({ "autoscaling.keda.sh/paused-replicas": "3", "team": "shop" });
    let cases = [
        hpa("web"),
        tuned,
        vpa(None),
        vpa(Some(json!({}))),
        vpa(Some(json!({ "updateMode": "Initial", "minReplicas": 1 }))),
        scaled_object(None),
        scaled_object(Some(paused)),
        scaled_object(Some(json!({ "autoscaling.keda.sh/paused": "false" }))),
    ];
    for rival in cases {
        let mut seen = seen(vec![rival.clone()]);
        let (acts, step) = run(&mut seen);
        assert_eq!((acts, step), (vec![Act::Save, Act::StandDown], Step::Done(Outcome::Owned)), "{rival}");
        assert!(seen.rivals[0].inert());
        assert_eq!(seen.policy.as_ref().unwrap().finalizers, ["other/keep", FINALIZER]);
        assert_eq!(licence(&seen), Sides::BOTH);
        seen.policy.as_mut().unwrap().mode = Some(Mode::Recommend);
        seen.policy.as_mut().unwrap().generation += 1;
        let (acts, step) = run(&mut seen);
        assert_eq!((acts, step), (vec![Act::Restore], Step::Done(Outcome::Released)), "{rival}");
        assert_eq!(seen.rivals[0].object.to_string(), rival.object.to_string());
        assert_eq!(seen.policy.unwrap().finalizers, ["other/keep"]);
    }
}

#[test]
fn what_a_server_adds_to_a_written_behavior_is_no_edit_and_does_not_stay() {
    let mut seen = owned(vec![hpa("web")]);
    seen.rivals[0].object["spec"]["behavior"]["scaleUp"]["tolerance"] = json!("100m");
    assert_eq!(next(&seen), Step::Done(Outcome::Owned));
    seen.policy.as_mut().unwrap().mode = Some(Mode::Recommend);
    run(&mut seen);
    assert_eq!(seen.rivals[0].object, hpa("web").object);
}

#[test]
fn everything_unclear_is_refused_and_nothing_changes() {
    let owner =
        |kind: &str, controller: bool| json!({ "kind": kind, "name": "x", "uid": "u-x", "controller": controller });
    let with = |mut rival: Rival, pointer: &str, value: Value| {
        rival.object["metadata"][pointer] = value;
        rival
    };
    let two = json!([owner("A", false), owner("B", false)]);
    let cases = [
        (vec![with(hpa("web"), "ownerReferences", json!([owner("Platform", true)]))], Reason::RivalOwned),
        (vec![with(hpa("web"), "ownerReferences", json!([owner("ScaledObject", true)]))], Reason::RivalOwned),
        (vec![with(scaled_object(None), "ownerReferences", two)], Reason::RivalOwned),
        (vec![hpa("web"), hpa("second")], Reason::SeveralRivals),
        (vec![hpa("web"), scaled_object(None)], Reason::SeveralRivals),
        (vec![with(hpa("web"), "labels", json!({ "kustomize.toolkit.fluxcd.io/name": "a" }))], Reason::RivalInGit),
        (vec![with(hpa("web"), "annotations", json!({ ANNOTATION: "{}" }))], Reason::AnnotationUnreadable),
    ];
    for (rivals, reason) in cases {
        let refusal = refused(&seen(rivals));
        assert_eq!(refusal.reason, reason, "{refusal:?}");
    }
    let mut blind = seen(Vec::new());
    blind.blind = vec![Blind { kind: Kind::ScaledObject, why: "only version v2 is served".into() }];
    assert_eq!(refused(&blind).reason, Reason::RivalUnreadable);
}

#[test]
fn force_takes_what_is_in_git() {
    let mut rival = hpa("web");
    rival.object["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "shop" });
    let mut seen = seen(vec![rival]);
    seen.policy.as_mut().unwrap().force = true;
    assert_eq!(run(&mut seen).1, Step::Done(Outcome::Owned));
}

#[test]
fn an_edit_after_the_takeover_is_said_kept_and_given_back() {
    let mut seen = owned(vec![hpa("web")]);
    seen.rivals[0].object["spec"]["maxReplicas"] = json!(9);
    let refusal = refused(&seen);
    assert_eq!(refusal.reason, Reason::RivalEdited);
    assert!(refusal.message.contains("spec.maxReplicas"), "{}", refusal.message);
    seen.policy.as_mut().unwrap().mode = Some(Mode::Recommend);
    run(&mut seen);
    let mut expected = hpa("web").object;
    expected["spec"]["maxReplicas"] = json!(9);
    assert_eq!(seen.rivals[0].object, expected);
}

#[test]
fn an_edit_that_leaves_no_valid_way_back_is_refused() {
    let mut seen = owned(vec![hpa("web")]);
    seen.rivals[0].object["spec"]["maxReplicas"] = json!(1);
    seen.policy.as_mut().unwrap().mode = Some(Mode::Recommend);
    assert_eq!(refused(&seen).reason, Reason::RivalEdited);
}

#[test]
fn the_count_is_brought_inside_before_the_rival_is_back() {
    for (count, to) in [(0, 2), (9, 5)] {
        let mut seen = owned(vec![hpa("web")]);
        seen.target.replicas = Some(count);
        seen.policy.as_mut().unwrap().mode = Some(Mode::Recommend);
        assert_eq!(next(&seen), Step::Write(Write::BringInside { uid: "t-1".into(), from: count, to }));
    }
}

#[test]
fn nothing_is_done_in_a_namespace_that_goes_but_to_let_it_go() {
    let mut seen = owned(vec![hpa("web")]);
    seen.namespace_going = true;
    let down = seen.rivals[0].object.clone();
    let (acts, step) = run(&mut seen);
    assert_eq!((acts, step), (Vec::new(), Step::Done(Outcome::Going)));
    assert_eq!((seen.rivals[0].object.clone(), seen.policy.unwrap().finalizers), (down, vec!["other/keep".to_owned()]));
}

#[test]
fn paused_and_unreadable_policies_freeze() {
    for mode in [Some(Mode::Paused), None] {
        let mut seen = owned(vec![hpa("web")]);
        seen.policy.as_mut().unwrap().mode = mode;
        assert_eq!((next(&seen), licence(&seen)), (Step::Done(Outcome::Frozen), Sides::NONE));
        seen.policy.as_mut().unwrap().deleting = true;
        assert_eq!(run(&mut seen).0, [Act::Restore]);
    }
}

#[test]
fn policies_that_swap_targets_each_give_back_first() {
    let mut seen = owned(vec![hpa("web")]);
    let policy = seen.policy.as_mut().unwrap();
    policy.target.name = "api".into();
    policy.generation += 1;
    let mut other = hpa("api");
    other.object["spec"]["scaleTargetRef"]["name"] = json!("api");
    let stamp = Stamp { policy: "api".into(), uid: "p-2".into(), born: 100, generation: 1 };
    other.object = other.annotated(&Saved::new(stamp, other.original()));
    seen.rivals.push(other);
    let (acts, step) = run(&mut seen);
    assert_eq!(acts, [Act::Restore]);
    assert_eq!(seen.rivals[0].object, hpa("web").object);
    assert!(matches!(step, Step::Wait(ref r) if r.reason == Reason::HeldByAnotherPolicy), "{step:?}");
}

#[test]
fn a_policy_made_anew_adopts_and_an_older_view_waits() {
    let mut seen = owned(vec![hpa("web")]);
    let older = seen.policy.clone();
    let policy = seen.policy.as_mut().unwrap();
    (policy.uid, policy.born, policy.generation) = ("p-2".into(), 200, 1);
    assert_eq!(licence(&seen), Sides::NONE);
    assert_eq!(run(&mut seen), (vec![Act::Stamp], Step::Done(Outcome::Owned)));
    seen.policy = older;
    seen.policy.as_mut().unwrap().deleting = true;
    assert_eq!(refused(&seen).reason, Reason::StaleView);
}

#[test]
fn what_a_vanished_policy_left_is_given_back() {
    let mut seen = owned(vec![hpa("web"), vpa(None)]);
    (seen.policy, seen.target) = (None, Target::default());
    assert_eq!(run(&mut seen), (vec![Act::Restore, Act::Restore], Step::Done(Outcome::Released)));
    assert_eq!(seen.rivals, [hpa("web"), vpa(None)]);
}

#[test]
fn nothing_is_given_back_into_a_fight() {
    let mut seen = owned(vec![hpa("web")]);
    seen.rivals.push(hpa("second"));
    assert_eq!(refused(&seen).reason, Reason::SeveralRivals);
    seen.policy.as_mut().unwrap().deleting = true;
    assert_eq!(refused(&seen).reason, Reason::SecondOwner);
}

#[test]
fn replicas_do_not_wait_for_a_vpas_round() {
    let mut seen = owned(vec![hpa("web"), vpa(None)]);
    seen.rivals[1].quiet = false;
    assert_eq!(licence(&seen), Sides { replicas: true, sizes: false });
    assert_eq!(hpa("web").observed(), Some(true));
    let Step::Wait(refusal) = next(&seen) else { panic!("must wait") };
    assert_eq!(refusal.reason, Reason::StandingDown);
}

#[test]
fn kedas_own_hpa_must_be_gone() {
    let mut seen = owned(vec![scaled_object(None)]);
    let mut own = hpa("keda-hpa-web-so");
    own.object["metadata"]["ownerReferences"] =
        json!([{ "kind": "ScaledObject", "name": "web-so", "uid": "u-web-so", "controller": true }]);
    seen.rivals.push(own);
    assert_eq!(refused(&seen).reason, Reason::StandingDown);
}

#[test]
fn every_reason_has_its_word() {
    let words: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}

proptest! {
    #[test]
    fn any_hpa_comes_back_byte_equal(
        min in proptest::option::of(0_u32..4), max in 4_u32..2000, up in proptest::option::of(0_u8..4), down in proptest::option::of(0_u8..4),
    ) {
        let mut rival = hpa("web");
        let spec = &mut rival.object["spec"];
        spec["maxReplicas"] = max.into();
        rival::put(spec, "minReplicas", min.map(Value::from));
        for (direction, choice) in [("scaleUp", up), ("scaleDown", down)] {
            let Some(choice) = choice else { continue };
            let policy = ["Max", "Min", "Disabled", "Max"][usize::from(choice)];
            spec["behavior"][direction] = json!({ "selectPolicy": policy, "stabilizationWindowSeconds": choice });
        }
        let mut seen = owned(vec![rival.clone()]);
        seen.policy = None;
        run(&mut seen);
        prop_assert_eq!(seen.rivals[0].object.to_string(), rival.object.to_string());
    }

    #[test]
    fn an_annotation_that_lost_or_changed_a_byte_is_not_read(at in 0_usize..400, with in "[a-z0-9]") {
        let text = Saved::new(Stamp::of(&policy()), hpa("web").original()).text();
        let at = at % text.len();
        let mut broken = text.clone();
        broken.replace_range(at..=at, &with);
        prop_assert!(broken == text || Saved::read(&broken).is_err());
        prop_assert_eq!(Saved::read(&text).map(|saved| saved.original), Ok(hpa("web").original()));
    }
}
