//! What of a pod's state says whether and how it can be resized. Pure.
//!
//! The rules are those of the API server and the kubelet (KEP-1287): see docs/resize.md.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::objects::{Container, ContainerStatus, PodCondition};
use crate::decide::ResizeState;

/// The annotation by which the API server shows a static pod's mirror.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What makes a pod one whose size nothing can change while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// A static pod: what the API server shows is a mirror of a file on its node.
    Static,
    /// Its operating system is Windows, for which there is no resize.
    Windows,
    /// It runs on a node whose kubelet cannot resize: it does not report what its containers have.
    Node,
}

/// Why nothing can resize a pod, if so.
pub(super) fn fixed(metadata: &ObjectMeta, os: Option<&str>, statuses: &[ContainerStatus]) -> Option<Fixed> {
    if metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR)) {
        return Some(Fixed::Static);
    }
    if os == Some("windows") {
        return Some(Fixed::Windows);
    }
    // As the API server judges it: by the first container that runs.
    let running = statuses.iter().find(|s| s.state.running.is_some());
    running.is_some_and(|s| s.resources.is_none()).then_some(Fixed::Node)
}

/// The state of a resize, and since when.
pub(super) fn resize(conditions: &[PodCondition]) -> (ResizeState, Option<Timestamp>) {
    let holds = |type_: &str| conditions.iter().find(|c| c.type_ == type_ && c.status == "True");
    let (pending, in_progress) = (holds("PodResizePending"), holds("PodResizeInProgress"));
    let state = match (pending, in_progress) {
        (Some(c), _) if c.reason.as_deref() == Some("Infeasible") => ResizeState::Infeasible,
        (Some(_), _) => ResizeState::Deferred,
        (None, Some(c)) if c.reason.as_deref() == Some("Error") => ResizeState::Error,
        (None, Some(_)) => ResizeState::InProgress,
        (None, None) => ResizeState::None,
    };
    (state, pending.or(in_progress).and_then(|c| c.last_transition_time))
}

/// Whether an init container goes on running beside the others: a sidecar, which can be resized as they can.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::kubernetes::{PodFacts, objects::PodObject};

    fn facts(pod: serde_json::Value) -> PodFacts {
        serde_json::from_value::<PodObject>(pod).unwrap().facts()
    }

    #[test]
    fn sidecars_are_containers_and_ordinary_init_containers_are_not() {
        let sized = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}});
        let pod = facts(json!({"spec": {
            "containers": [{"name": "app", "resources": sized}],
            "initContainers": [
                {"name": "migrate", "resources": {"requests": {"cpu": "1"}}},
                {"name": "proxy", "restartPolicy": "Always", "resources": sized}]},
            "status": {"initContainerStatuses": [
                {"name": "proxy", "restartCount": 3, "state": {"running": {}}, "allocatedResources": {"cpu": "50m"}}]}}));
        let names: Vec<_> = pod.containers.iter().map(|c| (&*c.name, c.sidecar)).collect();
        assert_eq!(names, [("app", false), ("proxy", true)]);
        let proxy = &pod.containers[1];
        assert_eq!((proxy.restarts, proxy.running), (3, true));
        assert_eq!(proxy.allocated.unwrap().cpu_cores.unwrap().millis_ceil(), 50);
        assert!(pod.init_unguaranteed, "migrate has no limits");
    }

    #[test]
    fn pods_that_nothing_can_resize_are_told_by_their_reason() {
        let fixed = |pod| facts(pod).fixed;
        let running = |resources: serde_json::Value| {
            let mut status = json!({"name": "app", "state": {"running": {}}});
            status.as_object_mut().unwrap().extend(resources.as_object().unwrap().clone());
            json!({"spec": {"containers": [{"name": "app"}]}, "status": {"containerStatuses": [status]}})
        };
        assert_eq!(fixed(json!({"metadata": {"annotations": {MIRROR: "x"}}})), Some(Fixed::Static));
        assert_eq!(fixed(json!({"spec": {"os": {"name": "windows"}}})), Some(Fixed::Windows));
        assert_eq!(fixed(running(json!({}))), Some(Fixed::Node));
        assert_eq!(fixed(running(json!({"resources": {}}))), None);
        let waiting = json!({"spec": {"containers": [{"name": "app"}]},
            "status": {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        assert_eq!(fixed(waiting), None, "what does not run yet can be resized");
        assert_eq!(fixed(json!({})), None, "so can what has no node");
    }

    #[test]
    fn a_pending_resize_tells_since_when() {
        let condition = |type_: &str, reason: &str| {
            let at = "2026-02-03T10:00:00Z";
            facts(json!({"status": {"conditions": [
                {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": at}]}}))
        };
        for (type_, reason, state) in [
            ("PodResizePending", "Deferred", ResizeState::Deferred),
            ("PodResizePending", "Infeasible", ResizeState::Infeasible),
            ("PodResizeInProgress", "", ResizeState::InProgress),
            ("PodResizeInProgress", "Error", ResizeState::Error),
        ] {
            let pod = condition(type_, reason);
            assert_eq!((pod.resize, pod.resize_since.is_some()), (state, true), "{type_} {reason}");
        }
        assert_eq!(facts(json!({})).resize_since, None);
    }

    #[test]
    fn a_kill_tells_the_limit_that_was_in_force() {
        let pod = facts(
            json!({"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "512Mi"}}}]},
            "status": {"containerStatuses": [{"name": "app", "restartCount": 1, "resources": {"limits": {"memory": "256Mi"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}),
        );
        assert_eq!(pod.containers[0].oom.as_ref().unwrap().limit.unwrap().0, 256 << 20);
    }
}
