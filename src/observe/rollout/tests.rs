use serde_json::json;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn pod(hash: &str, created: i64) -> Arc<PodFacts> {
    Arc::new(PodFacts {
        created: Some(at(created)),
        ready_since: Some(at(created + 10)),
        labels: Arc::new([("pod-template-hash".to_owned(), hash.to_owned())].into()),
        ..PodFacts::default()
    })
}

fn judged(facts: &RolloutFacts, pods: &[Arc<PodFacts>], seconds: i64) -> Rollout {
    judge(facts, pods, Some("b"), at(seconds))
}

#[test]
fn pods_of_two_templates_are_a_rollout_while_something_moves() {
    let plain = RolloutFacts::default();
    assert_eq!(judge(&plain, &[], None, at(0)), Rollout::Unknown);
    assert_eq!(judged(&plain, &[pod("b", 0)], 20), Rollout::Done);
    let two = [pod("a", 0), pod("b", 100)];
    assert_eq!(judged(&plain, &two, 120), Rollout::UnderWay(None));
    assert_eq!(judged(&plain, &two, 110 + 3599).holds(), Some(true));
    let stands = judged(&plain, &two, 110 + 3600);
    assert_eq!(stands.holds(), Some(false));
    assert!(stands.remark().unwrap().contains("nothing of it has moved for an hour"), "{stands:?}");
    assert_eq!(judged(&plain, &[pod("a", 0)], 20).holds(), Some(true), "no pod of the newest template yet");
}

#[test]
fn a_deployment_without_progress_holds_nothing_up() {
    let object = |observed: i64, reason: &str| {
        let conditions = json!([{"type": "Progressing", "status": "False", "reason": reason, "lastUpdateTime": "1970-01-01T00:10:00Z"}]);
        facts(
            "Deployment",
            Some(3),
            &json!({"spec": {"progressDeadlineSeconds": 60}, "status": {"observedGeneration": observed, "conditions": conditions}}),
        )
    };
    let two = [pod("a", 0), pod("b", 0)];
    let stuck = judged(&object(3, "ProgressDeadlineExceeded"), &two, 700);
    assert_eq!(stuck, Rollout::Stands("no progress for 60 s, ProgressDeadlineExceeded".into()));
    assert_eq!(judged(&object(2, "ProgressDeadlineExceeded"), &two, 700).holds(), Some(true), "of an older spec");
    assert_eq!(judged(&object(3, "ReplicaSetUpdated"), &two, 700).holds(), Some(true));
    assert_eq!(object(3, "x").moved, Some(at(600)));
    assert_eq!(judged(&object(3, "ProgressDeadlineExceeded"), &[pod("b", 0)], 700), Rollout::Done, "one template");
}

#[test]
fn a_stateful_set_that_keeps_pods_back_holds_nothing_up() {
    let object = |strategy: Value, updated: u64| {
        facts(
            "StatefulSet",
            Some(1),
            &json!({"spec": {"replicas": 5, "updateStrategy": strategy}, "status": {"updatedReplicas": updated}}),
        )
    };
    let two = [pod("a", 0), pod("b", 0)];
    let holds = |facts: &RolloutFacts| judged(facts, &two, 60).holds();
    assert_eq!(holds(&object(json!({"type": "OnDelete"}), 0)), Some(false));
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 3}});
    assert_eq!(holds(&object(partition.clone(), 1)), Some(true), "one of two is done");
    assert_eq!(holds(&object(partition, 2)), Some(false));
    assert_eq!(holds(&object(json!({"type": "RollingUpdate"}), 2)), Some(true));
}

fn rollout(status: &Value) -> RolloutFacts {
    let steps = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]);
    facts("Rollout", Some(4), &json!({"spec": {"strategy": {"canary": {"steps": steps}}}, "status": status}))
}

#[test]
fn an_argo_rollout_is_under_way_until_the_newest_is_stable() {
    let same = rollout(&json!({"observedGeneration": "4", "stableRS": "b", "currentPodHash": "b", "phase": "Healthy"}));
    assert_eq!(judged(&same, &[pod("b", 0)], 60), Rollout::Done);
    let status = json!({"observedGeneration": "4", "stableRS": "a", "currentPodHash": "b", "phase": "Paused",
        "currentStepIndex": 1, "canary": {"weights": {"canary": {"weight": 20}}},
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "1970-01-01T01:00:00Z"}]});
    let paused = rollout(&status);
    // Blue-green: the preview's pods are no members.
    let judged_at = |seconds| judged(&paused, &[pod("a", 0)], seconds);
    assert_eq!(
        judged_at(3660).remark().unwrap(),
        "its Rollout is at step 2 of 3, 20 % of the traffic, paused: no shrink and no resize until it is over"
    );
    assert_eq!(judged_at(3600 + 86_399).holds(), Some(true), "a pause over night");
    assert_eq!(judged_at(3600 + 86_400).holds(), Some(false), "nobody came back to it");
}

#[test]
fn an_aborted_argo_rollout_holds_nothing_up() {
    let status = |observed: &str| {
        json!({"observedGeneration": observed, "stableRS": "a", "currentPodHash": "b", "phase": "Degraded", "abort": true,
            "message": "RolloutAborted: Rollout aborted update to revision 2"})
    };
    let aborted = judged(&rollout(&status("4")), &[pod("a", 0)], 60);
    assert!(matches!(&aborted, Rollout::Stands(why) if why.contains("RolloutAborted")), "{aborted:?}");
    assert_eq!(judged(&rollout(&status("3")), &[pod("a", 0)], 60).holds(), Some(true), "of an older spec");
}
