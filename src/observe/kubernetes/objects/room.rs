//! What quotas and limit ranges leave. Pure.

use super::{LimitRangeFacts, LimitRangeObject, QuotaFacts, QuotaObject, quantity, resources, tightest};
use crate::{decide::Resources, units::Quantity};

impl QuotaObject {
    /// What it leaves, when it counts every pod; a scoped quota counts some, and none here is known to be among them.
    #[must_use]
    pub fn facts(self) -> Option<QuotaFacts> {
        if !self.spec.scopes.is_empty() || self.spec.scope_selector.is_some_and(|s| !s.is_null()) {
            return None;
        }
        let left = |names: &[&str]| {
            names.iter().find_map(|name| {
                let hard = quantity(self.status.hard.get(*name)?)?;
                let used = self.status.used.get(*name).and_then(quantity).map_or(0.0, Quantity::as_f64);
                Some((hard.as_f64() - used).max(0.0))
            })
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; never negative")]
        let pods_left = left(&["pods", "count/pods"]).map(|n| n as u32);
        let resources = Resources {
            cpu_cores: left(&["requests.cpu", "cpu"]).map(crate::units::Cores),
            memory_bytes: left(&["requests.memory", "memory"]).map(crate::units::Bytes::ceil_from),
        };
        Some(QuotaFacts { name: self.metadata.name.clone().unwrap_or_default(), left: resources, pods_left })
    }
}

impl LimitRangeObject {
    /// Its bounds of containers, all items taken together.
    #[must_use]
    pub fn facts(&self) -> LimitRangeFacts {
        let mut facts = LimitRangeFacts::default();
        for item in self.spec.limits.iter().filter(|i| i.type_ == "Container") {
            facts.min = tightest(facts.min, resources(&item.min), crate::units::Cores::max, Ord::max);
            facts.max = tightest(facts.max, resources(&item.max), crate::units::Cores::min, Ord::min);
        }
        facts
    }
}
