//! What pods have in common is kept once.

use std::sync::Arc;

use super::PodFacts;

impl PodFacts {
    /// Takes from another pod of the same owner, or from this one as it was before, what is equal: of all pods of a template
    /// it is kept once.
    pub(in crate::observe::kubernetes) fn share(&mut self, other: &Self) {
        same(&mut self.namespace, &other.namespace);
        same(&mut self.name, &other.name);
        same(&mut self.uid, &other.uid);
        same(&mut self.labels, &other.labels);
        same(&mut self.ports, &other.ports);
        for (mine, theirs) in [(&mut self.owner, &other.owner), (&mut self.node, &other.node)] {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                same(mine, theirs);
            }
        }
        for (mine, theirs) in self.containers.iter_mut().zip(&other.containers) {
            same(&mut mine.name, &theirs.name);
        }
    }
}

fn same<T: PartialEq + ?Sized>(mine: &mut Arc<T>, theirs: &Arc<T>) {
    if mine == theirs {
        *mine = Arc::clone(theirs);
    }
}
