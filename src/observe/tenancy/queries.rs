//! A query, confined to one namespace: every selector in it pins a label that names the namespace.
//!
//! What is sent is printed from the tree that was checked, never the author's text: comments, escapes and odd quoting do
//! not reach the server. A selector pins a label by equality. One that pins none gets the first label; one that
//! matches such a label in any other way is refused, because its author means another namespace.
//!
//! Invariant: pure; in each alternative of each selector of what is returned, one of the labels equals the namespace.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::Expr;

use crate::{
    observe::prometheus::promql::{each_selector, parse, print},
    policy::promql_nodes,
};

/// Functions that read series beside their arguments: `info` joins the labels of info metrics of every namespace.
const READS_MORE: [&str; 1] = ["info"];

/// The query, confined; or why it is refused, to be read behind its path.
pub(super) fn confine(query: &str, namespace: &str, labels: &[String]) -> Result<String, String> {
    let mut expr = parse(query).map_err(|error| error.to_string())?;
    if let Some(name) = reads_more(&expr) {
        return Err(format!("{name}() reads series of other namespaces: join the series that you mean with * on (…)"));
    }
    let mut refused: Option<String> = None;
    each_selector(&mut expr, &mut |matchers| {
        let groups = if matchers.or_matchers.is_empty() {
            std::slice::from_mut(&mut matchers.matchers)
        } else {
            matchers.or_matchers.as_mut_slice()
        };
        for group in groups {
            if let Err(label) = pin(group, namespace, labels) {
                refused.get_or_insert(label);
            }
        }
    });
    match refused {
        Some(label) => Err(format!("asks for another namespace: write {label}=\"{namespace}\", or leave {label} out")),
        None => print(expr).map_err(|error| error.to_string()),
    }
}

/// Pins a group of matchers; the error is the label by which it asks for something else.
fn pin(group: &mut Vec<Matcher>, namespace: &str, labels: &[String]) -> Result<(), String> {
    let own = |m: &Matcher| matches!(m.op, MatchOp::Equal) && m.value == namespace;
    let pinned: Vec<String> =
        group.iter().filter(|m| labels.contains(&m.name) && own(m)).map(|m| m.name.clone()).collect();
    // Beside a pin, another label may say more (exported_namespace of a shared exporter); the pinned one may not.
    let other = |m: &&Matcher| labels.contains(&m.name) && !own(m) && (pinned.is_empty() || pinned.contains(&m.name));
    if let Some(other) = group.iter().find(other) {
        return Err(other.name.clone());
    }
    if pinned.is_empty()
        && let Some(label) = labels.first()
    {
        group.push(Matcher::new(MatchOp::Equal, label, namespace));
    }
    Ok(())
}

fn reads_more(expr: &Expr) -> Option<&'static str> {
    promql_nodes(expr).into_iter().find_map(|(_, node)| match node {
        Expr::Call(call) => READS_MORE.into_iter().find(|name| *name == call.func.name),
        _ => None,
    })
}
