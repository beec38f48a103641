//! How many pods the updater may take down at once, apart from any `PodDisruptionBudget`.

use std::collections::BTreeMap;

/// Which controller owns a pod, as far as the budget asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// `ReplicationController`, `ReplicaSet`, `StatefulSet` or `DaemonSet`: the count that was ordered is looked up.
    Counted,
    /// `Job`: as many as live were ordered.
    Job,
    /// Any other, or none: nothing was ordered, so all may go.
    Other,
}

/// A pod as the budget sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetPod {
    /// Its owner; pods of one owner share a budget.
    pub owner: String,
    /// What its owner is.
    pub kind: OwnerKind,
    /// Whether it is Pending.
    pub pending: bool,
    /// State of an in-place resize, when one is under way.
    pub resize: Option<ResizeUnderWay>,
}

/// An in-place resize under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeUnderWay {
    /// It may still come to something: the pod is left alone.
    Waiting,
    /// It is over or hopeless (Infeasible, Error, unknown, or waited for too long): the pod may be evicted.
    Stuck,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    ordered: usize,
    tolerance: usize,
    running: usize,
    taken: usize,
}

impl Group {
    const fn disruptable(&self) -> bool {
        self.running.saturating_sub(self.taken) > self.ordered - self.tolerance
            || (self.ordered == self.running && self.tolerance == 0 && self.taken == 0)
    }
}

/// The budget of one round of the updater.
#[derive(Clone, Debug)]
pub struct Budget {
    pods: Vec<BudgetPod>,
    groups: BTreeMap<String, Group>,
}

impl Budget {
    /// A round over these pods. Owners with fewer than `min_replicas` pods, and owners that should be counted but of
    /// which the count is not known (`ordered`) or 0, are left alone; `tolerance` is the share of an owner's pods that may
    /// be away (`--eviction-tolerance`).
    #[must_use]
    pub fn new(pods: Vec<BudgetPod>, ordered: &BTreeMap<String, usize>, min_replicas: usize, tolerance: f64) -> Self {
        let mut groups = BTreeMap::new();
        for pod in &pods {
            if groups.contains_key(&pod.owner) {
                continue;
            }
            let own = || pods.iter().filter(|other| other.owner == pod.owner);
            let live = own().count();
            let ordered = match pod.kind {
                OwnerKind::Counted => ordered.get(&pod.owner).copied().filter(|count| *count > 0),
                OwnerKind::Job => Some(live),
                OwnerKind::Other => Some(0),
            };
            let Some(ordered) = ordered.filter(|_| live >= min_replicas) else { continue };
            let running = own().filter(|other| !other.pending).count();
            let tolerance = super::super::super::whole(ordered as f64 * tolerance);
            groups.insert(pod.owner.clone(), Group { ordered, tolerance, running, taken: 0 });
        }
        Self { pods, groups }
    }

    /// Whether a pod may be evicted now.
    #[must_use]
    pub fn can_evict(&self, pod: usize) -> bool {
        let pod = &self.pods[pod];
        let Some(group) = self.groups.get(&pod.owner) else { return false };
        pod.pending || (pod.resize != Some(ResizeUnderWay::Waiting) && group.disruptable())
    }

    /// Whether a pod may be resized in place now: it runs, nothing is under way, and the group can bear it.
    #[must_use]
    pub fn can_resize(&self, pod: usize) -> bool {
        let pod = &self.pods[pod];
        let group = self.groups.get(&pod.owner);
        !pod.pending && pod.resize.is_none() && group.is_some_and(Group::disruptable)
    }

    /// Whether a pod's resize has come to nothing.
    #[must_use]
    pub fn is_stuck(&self, pod: usize) -> bool {
        self.pods[pod].resize == Some(ResizeUnderWay::Stuck)
    }

    /// Evicts a pod if it may be; whether it was.
    pub fn evict(&mut self, pod: usize) -> bool {
        let may = self.can_evict(pod);
        if may {
            self.take(pod);
        }
        may
    }

    /// Begins to resize a pod in place if that may be; whether it did.
    pub fn resize(&mut self, pod: usize) -> bool {
        let may = self.can_resize(pod);
        if may {
            self.take(pod);
        }
        may
    }

    fn take(&mut self, pod: usize) {
        let pod = &self.pods[pod];
        if !pod.pending
            && let Some(group) = self.groups.get_mut(&pod.owner)
        {
            group.taken += 1;
        }
    }
}
