//! `PromQL` as a tree: adding matchers to every selector, and listing the selectors that a value rests on.
//!
//! The library's own visitor leaves out the parameter of an aggregation (`topk(scalar(a), b)`), which would let a
//! selector escape the configured matchers; the walk here visits it.
//!
//! Invariant: pure; a query that cannot be rewritten faithfully is an error, never sent as it was.

use std::collections::BTreeMap;

use promql_parser::label::{MatchOp, Matcher, Matchers};
use promql_parser::parser::{AtModifier, Expr, Offset, VectorSelector};

use crate::observe::error::{ObserveError, shorten};
use crate::policy::parse_promql;

/// A selector of a query, reduced to the instant selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// For example `http_requests_total{namespace="shop"}`, without range, offset and `@`.
    pub text: String,
    /// How far in the past the query looks with it, in seconds: `offset`, of the selector and of subqueries around it;
    /// infinite when it looks at a fixed time (`@ 1700000000`), which no new sample ever reaches.
    pub offset: f64,
    /// Its range, when it is a range selector.
    pub range: Option<Range>,
}

/// What a range selector needs of each series to give a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Length, in seconds.
    pub seconds: f64,
    /// Samples in it: two for a rate, one for others.
    pub samples: u32,
}

/// Parses a query.
pub fn parse(query: &str) -> Result<Expr, ObserveError> {
    parse_promql(query).map_err(|e| ObserveError::QuerySyntax { message: shorten(&e) })
}

/// The query with equality matchers added to every selector, those of the author kept beside them.
pub fn with_matchers(query: &str, extra: &BTreeMap<String, String>) -> Result<String, ObserveError> {
    let mut expr = parse(query)?;
    each_selector(&mut expr, &mut |matchers| add_to(matchers, extra));
    print(expr)
}

/// A query as text. The printer is another's: what it prints must mean what was built.
pub fn print(mut expr: Expr) -> Result<String, ObserveError> {
    // It prints matchers in their order as texts, in which they are read again.
    each_selector(&mut expr, &mut |matchers| matchers.matchers.sort_by_cached_key(ToString::to_string));
    let text = expr.to_string();
    if parse(&text)? != expr {
        return Err(ObserveError::QuerySyntax {
            message: "it cannot be written anew with further matchers".to_owned(),
        });
    }
    Ok(text)
}

/// The selectors of a query, each once. Those inside `absent` and `absent_over_time` are left out: they are asked
/// because they may be missing.
#[must_use]
pub fn selectors(expr: &Expr) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    collect(expr, 0.0, 1, &mut found);
    found
}

/// A label matcher as text, the value quoted.
#[must_use]
pub fn matcher(label: &str, operator: &str, value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    format!("{label}{operator}\"{quoted}\"")
}

/// A regular expression that matches exactly one of the texts (`=~` is anchored at both ends).
#[must_use]
pub fn one_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut pattern = String::new();
    for text in texts {
        if !pattern.is_empty() {
            pattern.push('|');
        }
        for c in text.chars() {
            if !(c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '/' | ' ')) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
    }
    pattern
}

/// Visits the matchers of every selector of a query.
pub fn each_selector(expr: &mut Expr, visit: &mut impl FnMut(&mut Matchers)) {
    match expr {
        Expr::VectorSelector(selector) => visit(&mut selector.matchers),
        Expr::MatrixSelector(selector) => visit(&mut selector.vs.matchers),
        Expr::Aggregate(e) => {
            each_selector(&mut e.expr, visit);
            if let Some(param) = &mut e.param {
                each_selector(param, visit);
            }
        }
        Expr::Unary(e) => each_selector(&mut e.expr, visit),
        Expr::Binary(e) => {
            each_selector(&mut e.lhs, visit);
            each_selector(&mut e.rhs, visit);
        }
        Expr::Paren(e) => each_selector(&mut e.expr, visit),
        Expr::Subquery(e) => each_selector(&mut e.expr, visit),
        Expr::Call(e) => e.args.args.iter_mut().for_each(|arg| each_selector(arg, visit)),
        // The parser makes no extensions.
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// Every alternative of an `or` list gets the matchers, or the selector would escape through the others.
fn add_to(matchers: &mut Matchers, extra: &BTreeMap<String, String>) {
    let added = || extra.iter().map(|(name, value)| Matcher::new(MatchOp::Equal, name, value));
    if matchers.or_matchers.is_empty() {
        matchers.matchers.extend(added());
    }
    for group in &mut matchers.or_matchers {
        group.extend(added());
    }
}

/// Functions that need two samples of a series.
const DIFFERENCES: [&str; 7] = ["rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear"];

fn collect(expr: &Expr, offset: f64, samples: u32, found: &mut Vec<Selector>) {
    match expr {
        Expr::VectorSelector(selector) => push(selector, None, offset, found),
        Expr::MatrixSelector(e) => {
            push(&e.vs, Some(Range { seconds: e.range.as_secs_f64(), samples }), offset, found);
        }
        Expr::Aggregate(e) => {
            collect(&e.expr, offset, 1, found);
            if let Some(param) = &e.param {
                collect(param, offset, 1, found);
            }
        }
        Expr::Unary(e) => collect(&e.expr, offset, 1, found),
        Expr::Binary(e) => {
            collect(&e.lhs, offset, 1, found);
            collect(&e.rhs, offset, 1, found);
        }
        Expr::Paren(e) => collect(&e.expr, offset, samples, found),
        Expr::Subquery(e) => collect(&e.expr, offset + seconds(e.offset.as_ref()), 1, found),
        Expr::Call(e) if matches!(e.func.name, "absent" | "absent_over_time") => {}
        Expr::Call(e) => {
            let samples = if DIFFERENCES.contains(&e.func.name) { 2 } else { 1 };
            e.args.args.iter().for_each(|arg| collect(arg, offset, samples, found));
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn push(selector: &VectorSelector, range: Option<Range>, outer: f64, found: &mut Vec<Selector>) {
    let instant =
        VectorSelector { name: selector.name.clone(), matchers: selector.matchers.clone(), offset: None, at: None };
    let fixed = if matches!(selector.at, Some(AtModifier::At(_))) { f64::INFINITY } else { 0.0 };
    let offset = outer + fixed + seconds(selector.offset.as_ref());
    let new = Selector { text: instant.to_string(), offset, range };
    match found.iter_mut().find(|s| s.text == new.text) {
        // The same series read twice: the younger look decides the age, the shorter range what must be in it.
        Some(known) => {
            known.offset = known.offset.min(new.offset);
            known.range = match (known.range, new.range) {
                (Some(a), Some(b)) => {
                    Some(Range { seconds: a.seconds.min(b.seconds), samples: a.samples.max(b.samples) })
                }
                (a, b) => a.or(b),
            };
        }
        None => found.push(new),
    }
}

/// A look into the future (a negative offset) is as young as the present.
fn seconds(offset: Option<&Offset>) -> f64 {
    match offset {
        Some(Offset::Pos(by)) => by.as_secs_f64(),
        Some(Offset::Neg(_)) | None => 0.0,
    }
}
