//! The structural part of the schema, checked without a cluster: types, unknown and missing fields, enumerations and
//! bounds, all at once.
//!
//! The API server checks the same (and the CEL rules besides); it prunes unknown fields, which here are problems,
//! because a field that is not known is a field that is not honoured. Patterns and CEL rules are not evaluated: what
//! they say, `policy::compile` says better.

use serde_json::{Map, Value};

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, for example `spec.signals[1].role`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// The schema of the whole object, as the definition holds it.
#[must_use]
pub fn root() -> Value {
    let crd = super::crd();
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    serde_json::to_value(schema.and_then(|s| s.open_api_v3_schema.as_ref())).expect("a schema has text keys only")
}

/// All violations in `spec` of an object; `status` and `metadata` are not looked at. An empty answer means that the
/// object deserializes as a `ScalingPolicy`.
#[must_use]
pub fn check(object: &Value) -> Vec<Violation> {
    let schema = root();
    let mut found = Vec::new();
    match object.get("spec") {
        Some(spec) => visit(&schema["properties"]["spec"], spec, "spec", &mut found),
        None => found.push(Violation {
            path: "spec".to_owned(),
            message: "is missing: it must hold at least targetRef".to_owned(),
        }),
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    for key in object.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str())) {
        found.push(unknown(key.clone(), key, known.into_iter()));
    }
    found
}

fn visit(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let before = found.len();
    check_type(schema, value, path, found);
    if found.len() > before {
        return;
    }
    match value {
        Value::Object(map) => visit_object(schema, map, path, found),
        Value::Array(items) => {
            check_length(schema, items.len(), ["minItems", "maxItems"], "entries", path, found);
            for (index, item) in items.iter().enumerate() {
                visit(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Value::String(text) => {
            check_length(schema, text.chars().count(), ["minLength", "maxLength"], "characters", path, found);
        }
        Value::Number(number) => check_range(schema, number.as_f64().unwrap_or(f64::NAN), path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn visit_object(schema: &Value, map: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            found.push(Violation { path: format!("{path}.{name}"), message: "is required and missing".to_owned() });
        }
    }
    let additional = schema.get("additionalProperties");
    check_length(schema, map.len(), ["minProperties", "maxProperties"], "entries", path, found);
    for (key, value) in map {
        match (properties.get(key), additional) {
            (Some(property), _) => visit(property, value, &format!("{path}.{key}"), found),
            (None, Some(every)) => visit(every, value, &format!("{path}[{key}]"), found),
            (None, None) => {
                found.push(unknown(format!("{path}.{key}"), key, properties.keys().map(String::as_str)));
            }
        }
    }
}

fn check_type(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let is_whole = value.is_i64();
    let wanted = match schema["type"].as_str() {
        _ if schema["x-kubernetes-int-or-string"] == true => {
            if is_whole || value.is_string() {
                return;
            }
            "a whole number or text"
        }
        Some("object") if !value.is_object() => "a map of fields",
        Some("array") if !value.is_array() => "a list",
        Some("string") if !value.is_string() => "text",
        Some("integer") if !is_whole => "a whole number",
        Some("boolean") if !value.is_boolean() => "true or false",
        _ => return check_words(schema, value, path, found),
    };
    let hint = match (wanted, value) {
        ("text" | "a whole number or text", Value::Number(_) | Value::Bool(_)) => {
            format!(": write \"{value}\" in quotes")
        }
        (_, Value::Null) => ": give a value or leave the field out".to_owned(),
        _ => String::new(),
    };
    found.push(Violation {
        path: path.to_owned(),
        message: format!("must be {wanted}, and is {}{hint}", kind_of(value)),
    });
}

fn check_words(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(words) = schema["enum"].as_array() else { return };
    if words.contains(value) {
        return;
    }
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let given = value.as_str().unwrap_or_default();
    let hint = nearest(given, words.iter().copied()).map_or_else(String::new, |word| format!("; did you mean {word}?"));
    found.push(Violation {
        path: path.to_owned(),
        message: format!("\"{given}\" is not known: use {}{hint}", words.join(", ")),
    });
}

fn check_length(schema: &Value, length: usize, keys: [&str; 2], noun: &str, path: &str, found: &mut Vec<Violation>) {
    let bound = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
    if let Some(min) = bound(keys[0]).filter(|min| length < *min) {
        let message = if length == 0 {
            "must not be empty".to_owned()
        } else {
            format!("has {length} {noun}, at least {min} are needed")
        };
        found.push(Violation { path: path.to_owned(), message });
    }
    if let Some(max) = bound(keys[1]).filter(|max| length > *max) {
        found.push(Violation {
            path: path.to_owned(),
            message: format!("has {length} {noun}, at most {max} are allowed"),
        });
    }
}

fn check_range(schema: &Value, number: f64, path: &str, found: &mut Vec<Violation>) {
    let too_small = schema["minimum"].as_f64().filter(|min| number < *min).map(|min| format!("at least {min}"));
    let too_large = schema["maximum"].as_f64().filter(|max| number > *max).map(|max| format!("at most {max}"));
    for bound in [too_small, too_large].into_iter().flatten() {
        found.push(Violation { path: path.to_owned(), message: format!("is {number}, and must be {bound}") });
    }
}

fn unknown<'a>(path: String, key: &str, known: impl Iterator<Item = &'a str>) -> Violation {
    let hint = nearest(key, known).map_or_else(
        || "; remove it, or look it up with `kubectl explain scalingpolicy.spec --recursive`".to_owned(),
        |name| format!("; did you mean {name}?"),
    );
    Violation { path, message: format!("is not a field of ScalingPolicy{hint}") }
}

/// The known word that was most likely meant. 0.8 is where `strsim` puts a swapped or missing letter in a short word
/// and is far from two unrelated words.
fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (strsim::jaro_winkler(&given.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_i64() => "a whole number",
        Value::Number(_) => "a number with decimals",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of fields",
    }
}
