//! Which pods belong to a target: those that its selector matches **and** whose controller chain reaches it.
//!
//! The selector alone is not enough: two Deployments may share labels, and pods of an Argo experiment carry those of
//! its Rollout. Pure.

use std::sync::Arc;

use kube::core::{Expression, Selector, SelectorExt};

use super::kubernetes::PodFacts;

/// Pods of a target.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// In the order of their names.
    pub pods: Vec<Arc<PodFacts>>,
    /// Whether nothing but the selector ties them to the target, because no owner chain reaches it.
    pub by_selector_only: bool,
}

/// Finds the members among the pods of a namespace, or those of them that the chain may reach. `owner_of` answers the controller of a replica set by its uid.
pub fn members<'a>(
    pods: impl Iterator<Item = &'a Arc<PodFacts>>,
    selector: &Selector,
    target_uid: &str,
    owned_by_chain: bool,
    owner_of: impl Fn(&str) -> Option<String>,
) -> Members {
    let mut matching: Vec<_> = pods.filter(|p| selector.matches(&p.labels)).cloned().collect();
    matching.sort_by(|a, b| a.name.cmp(&b.name));
    let reaches = |p: &PodFacts| {
        p.owner.as_deref().is_some_and(|o| o == target_uid || owner_of(o).as_deref() == Some(target_uid))
    };
    let own: Vec<_> = matching.iter().filter(|p| reaches(p)).cloned().collect();
    if owned_by_chain || !own.is_empty() || matching.is_empty() {
        Members { pods: own, by_selector_only: false }
    } else {
        Members { pods: matching, by_selector_only: true }
    }
}

/// Reads a label selector as `/scale` writes it: `app=web,tier in (a,b),!canary`. `None` when it cannot be read.
#[must_use]
pub fn parse_selector(text: &str) -> Option<Selector> {
    let mut selector = Selector::default();
    for part in split_outside_parentheses(text) {
        selector.extend(parse_requirement(part.trim())?);
    }
    Some(selector)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.filter(|p| !p.trim().is_empty()).collect()
}

fn parse_requirement(text: &str) -> Option<Expression> {
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Expression::NotEqual(name(key)?, value.trim().to_owned()));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Expression::Equal(name(key)?, value.trim().to_owned()));
    }
    if let Some(list) = text.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let values = values.split(',').map(|v| v.trim().to_owned()).collect();
        let (key, operator) = head.trim().split_once(char::is_whitespace)?;
        return match operator.trim() {
            "in" => Some(Expression::In(name(key)?, values)),
            "notin" => Some(Expression::NotIn(name(key)?, values)),
            _ => None,
        };
    }
    match text.strip_prefix('!') {
        Some(key) => Some(Expression::DoesNotExist(name(key)?)),
        None => Some(Expression::Exists(name(text)?)),
    }
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.contains([' ', '(', ')', '!'])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn pod(name: &str, owner: &str, app: &str) -> Arc<PodFacts> {
        Arc::new(PodFacts {
            name: name.into(),
            owner: (!owner.is_empty()).then(|| owner.into()),
            labels: Arc::new(labels(&[("app", app)])),
            ..PodFacts::default()
        })
    }

    fn find(pods: &[Arc<PodFacts>], chain: bool) -> (Vec<String>, bool) {
        let selector = parse_selector("app=web").unwrap();
        let owner_of = |uid: &str| (uid == "rs-of-target").then(|| "target".to_owned());
        let found = members(pods.iter(), &selector, "target", chain, owner_of);
        (found.pods.iter().map(|p| p.name.to_string()).collect(), found.by_selector_only)
    }

    #[test]
    fn selectors_are_read_as_the_api_writes_them() {
        let selector = parse_selector("app=web, tier in (a,b),zone notin (x),x!=1,canary,!debug").unwrap();
        let fits = labels(&[("app", "web"), ("tier", "b"), ("x", "2"), ("canary", "")]);
        assert!(selector.matches(&fits));
        for (key, value) in [("app", "api"), ("tier", "c"), ("zone", "x"), ("x", "1"), ("debug", "1")] {
            let mut other = fits.clone();
            other.insert(key.into(), value.into());
            assert!(!selector.matches(&other), "{key}={value}");
        }
        for text in ["app in web", "app maybe (a)", "(", "a b"] {
            assert!(parse_selector(text).is_none(), "{text}");
        }
        assert!(parse_selector("").unwrap().selects_all());
    }

    #[test]
    fn labels_and_owner_chain_are_both_needed() {
        let pods = [
            pod("direct", "target", "web"),
            pod("through-rs", "rs-of-target", "web"),
            pod("stranger", "rs-of-somebody", "web"),
            pod("orphan", "", "web"),
            pod("relabelled", "rs-of-target", "debug"),
        ];
        assert_eq!(find(&pods, true), (vec!["direct".into(), "through-rs".into()], false));
    }

    #[test]
    fn unknown_kinds_fall_back_to_the_selector_and_say_so() {
        let pods = [pod("a", "somebody", "web"), pod("b", "", "web")];
        assert_eq!(find(&pods, false), (vec!["a".into(), "b".into()], true));
        assert_eq!(find(&pods, true), (vec![], false), "a Deployment's pods always have a chain");
        let mixed = [pod("a", "somebody", "web"), pod("b", "target", "web")];
        assert_eq!(find(&mixed, false), (vec!["b".into()], false), "one chain shows that the kind makes them");
    }
}
