//! PromQL, checked without a server.

use promql_parser::parser::{self, Expr, value::ValueType};

/// Longest query, in characters; the schema has the same bound.
const MAX_QUERY: usize = 4096;

/// Most regular expressions in a query. Each is compiled by the parser, and a short one may unroll to a machine of
/// megabytes, which takes milliseconds.
const MAX_PATTERNS: usize = 16;

/// How deep operators and brackets may stand: a sum of a hundred terms. The library prints, compares and drops a query by
/// recursion, and two thousand brackets filled a thread's stack.
const MAX_DEPTH: usize = 100;

/// Parses a query: the only way to the library's parser, which is kept from what it cannot take.
///
/// # Errors
/// The parser's words.
pub fn parse(query: &str) -> Result<Expr, String> {
    if escapes_a_wide_character(query) {
        return Err("a backslash stands before a character that it cannot escape".to_owned());
    }
    let expression = parser::parse(query)?;
    if nodes(&expression).into_iter().any(|(depth, _)| depth > MAX_DEPTH) {
        return Err(format!("operators and brackets are more than {MAX_DEPTH} deep: use a recording rule"));
    }
    Ok(expression)
}

/// Every part of a query with how deep it stands, without recursion.
#[must_use]
pub fn nodes(expression: &Expr) -> Vec<(usize, &Expr)> {
    let mut found = vec![(0, expression)];
    let mut next = 0;
    while let Some(&(depth, node)) = found.get(next) {
        next += 1;
        let mut child = |inner| found.push((depth + 1, inner));
        match node {
            Expr::Aggregate(e) => {
                child(&e.expr);
                e.param.as_deref().into_iter().for_each(child);
            }
            Expr::Binary(e) => {
                child(&e.lhs);
                child(&e.rhs);
            }
            Expr::Unary(e) => child(&e.expr),
            Expr::Paren(e) => child(&e.expr),
            Expr::Subquery(e) => child(&e.expr),
            Expr::Call(e) => e.args.args.iter().for_each(|arg| child(arg)),
            // The parser makes no extensions.
            Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::Extension(_) => {}
        }
    }
    found
}

/// Checks that a query parses and that its answer can be read as one number.
///
/// # Errors
/// What is wrong with it, and how it is written instead.
pub(super) fn check(query: &str) -> Result<(), String> {
    if query.trim().is_empty() {
        return Err("is empty: write an instant query, for example sum(rate(http_requests_total[1m]))".to_owned());
    }
    if query.chars().count() > MAX_QUERY {
        return Err(format!("has more than {MAX_QUERY} characters: move the expression into a recording rule"));
    }
    let patterns: usize = ["=~", "!~"].into_iter().map(|operator| query.matches(operator).count()).sum();
    if patterns > MAX_PATTERNS {
        return Err(format!("has more than {MAX_PATTERNS} patterns (=~ and !~): use a recording rule"));
    }
    let expression = parse(query).map_err(|error| refusal(query, &error))?;
    match expression.value_type() {
        ValueType::Vector | ValueType::Scalar => Ok(()),
        ValueType::Matrix => {
            Err("gives a range of samples, not one number: wrap it, for example sum(rate(x[1m]))".to_owned())
        }
        ValueType::String => Err("gives a text, not a number: write an instant query, for example sum(x)".to_owned()),
    }
}

/// The parser cuts a text behind a backslash and one byte: where that is no whole character, it panics.
fn escapes_a_wide_character(query: &str) -> bool {
    let mut escaped = false;
    query.chars().any(|c| {
        let wide = escaped && !c.is_ascii();
        escaped = c == '\\' && !escaped;
        wide
    })
}

fn refusal(query: &str, error: &str) -> String {
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let advice = ADVICE.iter().find(|(symptom, _)| error.contains(symptom)).map_or("", |(_, advice)| advice);
    format!("parse error at \"{}\": {error}{advice}", excerpt(query))
}

/// What to do, by a part of the parser's message.
const ADVICE: [(&str, &str); 7] = [
    ("expected type matrix", ": a range is missing, for example rate(x[1m])"),
    ("unclosed left parenthesis", ": close it, for example rate(x[1m])"),
    ("missing unit", ": write a range, for example rate(x[1m])"),
    (
        "inside braces",
        ": write labels as {name=\"value\"} and a range behind the brace, for example rate(x{a=\"b\"}[1m])",
    ),
    ("unterminated quoted string", ": close the quotes, for example x{a=\"b\"}"),
    ("bad number or duration", ": write a duration, for example rate(x[1m])"),
    ("invalid promql query", ": an operand or a bracket is missing, for example sum by (a) (rate(x[1m]))"),
];

/// The end of the query, which is where most queries that do not parse were left unfinished.
fn excerpt(query: &str) -> String {
    const KEPT: usize = 60;
    let length = query.chars().count();
    if length <= KEPT {
        return query.to_owned();
    }
    format!("…{}", query.chars().skip(length - KEPT).collect::<String>())
}
