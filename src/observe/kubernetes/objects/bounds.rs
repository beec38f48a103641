//! What the API server could refuse a new pod for: limit ranges and quotas, looked at from the side of admission.
//!
//! Decisions look at the same objects for room to grow in; here every quota counts, scoped ones too, since a pod that one of
//! them refuses is not created at all.

use super::{LimitRangeObject, QuotaObject, cpu_and_memory, quantity, resources, tightest};
use crate::{
    decide::Resources,
    units::{Bytes, Cores, Quantity},
};

/// What a namespace asks of new pods; an absent bound does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Least request and limit of a container.
    pub min: Resources,
    /// Largest request and limit of a container.
    pub max: Resources,
    /// Limit that a container without one is given.
    pub default_limit: Resources,
    /// Largest limit divided by request.
    pub ratio: PerResource<Option<f64>>,
    /// Whether containers are bounded together: then nothing is known of what may be added to the pod beside them.
    pub whole_pod: PerResource<bool>,
    /// Requests that quotas leave.
    pub requests_left: Resources,
    /// Limits that quotas leave.
    pub limits_left: Resources,
    /// Allocatable of the largest node.
    pub node: Resources,
}

/// One value for CPU and one for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerResource<T> {
    /// For CPU.
    pub cpu: T,
    /// For memory.
    pub memory: T,
}

fn smaller(a: Resources, b: Resources) -> Resources {
    tightest(a, b, Cores::min, Ord::min)
}

impl Bounds {
    /// Both taken together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b);
        Self {
            min: tightest(self.min, other.min, Cores::max, Ord::max),
            max: smaller(self.max, other.max),
            default_limit: smaller(self.default_limit, other.default_limit),
            ratio: PerResource {
                cpu: ratio(self.ratio.cpu, other.ratio.cpu),
                memory: ratio(self.ratio.memory, other.ratio.memory),
            },
            whole_pod: PerResource {
                cpu: self.whole_pod.cpu || other.whole_pod.cpu,
                memory: self.whole_pod.memory || other.whole_pod.memory,
            },
            requests_left: smaller(self.requests_left, other.requests_left),
            limits_left: smaller(self.limits_left, other.limits_left),
            node: tightest(self.node, other.node, Cores::max, Ord::max),
        }
    }
}

impl LimitRangeObject {
    /// What it asks of new pods.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.spec.limits.iter().fold(Bounds::default(), |bounds, item| {
            let ratio = |name: &str| item.max_limit_request_ratio.get(name).and_then(quantity).map(Quantity::as_f64);
            let names = |name: &str| {
                [&item.min, &item.max, &item.max_limit_request_ratio].iter().any(|list| list.contains_key(name))
            };
            bounds.and(match item.type_.as_str() {
                "Container" => Bounds {
                    min: resources(&item.min),
                    max: resources(&item.max),
                    default_limit: resources(&item.default),
                    ratio: PerResource { cpu: ratio("cpu"), memory: ratio("memory") },
                    ..Bounds::default()
                },
                "Pod" => Bounds {
                    whole_pod: PerResource { cpu: names("cpu"), memory: names("memory") },
                    ..Bounds::default()
                },
                _ => Bounds::default(),
            })
        })
    }
}

impl QuotaObject {
    /// What it leaves for new pods. A quota whose use is not known yet leaves nothing.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let left = |cpu: &str, memory: &str| {
            let hard = cpu_and_memory(&self.spec.hard, cpu, memory);
            let used = cpu_and_memory(&self.status.used, cpu, memory);
            Resources {
                cpu_cores: hard.cpu_cores.map(|h| used.cpu_cores.map_or(Cores(0.0), |u| Cores((h.0 - u.0).max(0.0)))),
                memory_bytes: hard
                    .memory_bytes
                    .map(|h| used.memory_bytes.map_or(Bytes(0), |u| Bytes(h.0.saturating_sub(u.0)))),
            }
        };
        Bounds {
            requests_left: smaller(left("requests.cpu", "requests.memory"), left("cpu", "memory")),
            limits_left: left("limits.cpu", "limits.memory"),
            ..Bounds::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cpu(cores: f64) -> Resources {
        Resources { cpu_cores: Some(Cores(cores)), memory_bytes: None }
    }

    #[test]
    fn every_quota_counts_and_the_tightest_binds() {
        let quota = |hard: &serde_json::Value, used: &serde_json::Value, scopes: &serde_json::Value| -> QuotaObject {
            serde_json::from_value(json!({"spec": {"hard": hard, "scopes": scopes}, "status": {"used": used}})).unwrap()
        };
        let wide = quota(&json!({"requests.cpu": "10"}), &json!({"requests.cpu": "4"}), &json!([]));
        let scoped = quota(&json!({"cpu": "2"}), &json!({"cpu": "1500m"}), &json!(["NotBestEffort"]));
        let limits = quota(&json!({"limits.memory": "4Gi"}), &json!({"limits.memory": "1Gi"}), &json!([]));
        let all = [wide, scoped, limits].iter().fold(Bounds::default(), |b, q| b.and(q.bounds()));
        assert_eq!(all.requests_left, cpu(0.5));
        assert_eq!(all.limits_left.memory_bytes, Some(Bytes(3 * Bytes::GIB)));
        let unknown = quota(&json!({"requests.cpu": "10"}), &json!({}), &json!([]));
        assert_eq!(unknown.bounds().requests_left, cpu(0.0), "not counted yet");
    }

    #[test]
    fn limit_ranges_are_taken_together() {
        let range: LimitRangeObject = serde_json::from_value(json!({"spec": {"limits": [
            {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "default": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}},
            {"type": "Container", "max": {"cpu": "1500m"}},
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]}}))
        .unwrap();
        let bounds = range.bounds();
        assert_eq!((bounds.min, bounds.max, bounds.default_limit), (cpu(0.1), cpu(1.5), cpu(1.0)));
        assert_eq!(bounds.ratio.cpu, Some(4.0));
        assert_eq!(bounds.whole_pod, PerResource { cpu: false, memory: true });
    }
}
