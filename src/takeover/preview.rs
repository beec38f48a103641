//! What mode Auto would do to a workload's other autoscalers: said while the mode is Recommend, so that people can look
//! before it acts.

use super::{Outcome, Policy, Seen, Step, next, rival::Owner};
use crate::policy::Mode;

/// One part of a sentence; none when the mode is not Recommend, or when Auto would find nobody beside it.
#[must_use]
pub fn preview(seen: &Seen) -> Option<String> {
    let policy = seen.policy.as_ref().filter(|policy| policy.mode == Some(Mode::Recommend) && !policy.deleting)?;
    let auto = Seen { policy: Some(Policy { mode: Some(Mode::Auto), ..policy.clone() }), ..seen.clone() };
    match next(&auto) {
        Step::Done(Outcome::Owned | Outcome::Released | Outcome::Frozen | Outcome::Going) => None,
        Step::Refused(refusal) => Some(format!("Auto would be refused: {}", refusal.message)),
        Step::Write(_) | Step::Wait(_) => {
            let moved = |kind: super::Kind| if kind.sizes() { policy.levers.sizes } else { policy.levers.replicas };
            let active = seen.rivals.iter().filter(|rival| {
                moved(rival.kind)
                    && !rival.inert()
                    && rival.target().as_ref() == Some(&policy.target)
                    && !matches!(rival.owner(), Owner::Keda(_))
            });
            let names: Vec<String> = active.map(ToString::to_string).collect();
            (!names.is_empty()).then(|| format!("Auto would stand down {}", names.join(" and ")))
        }
    }
}
