//! YAML documents as values that know the line of each field.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A document and the lines of its fields.
#[derive(Debug)]
pub(in crate::cli) struct Document {
    /// The document itself.
    pub(in crate::cli) value: Value,
    /// Line of each field by its path; a field's line is its key's, an entry's line is where it begins.
    lines: BTreeMap<String, u64>,
}

impl Document {
    /// All documents of a text that hold anything.
    ///
    /// # Errors
    /// The line, when it is known, and what is wrong there.
    pub(in crate::cli) fn all(text: &str) -> Result<Vec<Self>, (Option<u64>, String)> {
        let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple(text).map_err(|error| {
            let line = error.location().map(|location| location.line());
            let message = error.without_snippet().to_string();
            (line, message.lines().next().unwrap_or_default().to_owned())
        })?;
        Ok(nodes.into_iter().map(Self::new).collect())
    }

    fn new(node: Spanned<Node>) -> Self {
        let mut lines = BTreeMap::new();
        let line = node.referenced.line();
        lines.insert(String::new(), line);
        let value = resolve(node.value, "", &mut lines);
        Self { value, lines }
    }

    /// The line of a field; of the nearest field around it when it is not there.
    pub(in crate::cli) fn line(&self, path: &str) -> u64 {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
        }
    }
}

fn resolve(node: Node, path: &str, lines: &mut BTreeMap<String, u64>) -> Value {
    match node {
        Node::Scalar(value) => value,
        Node::List(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| {
                    let path = format!("{path}[{index}]");
                    lines.insert(path.clone(), item.referenced.line());
                    resolve(item.value, &path, lines)
                })
                .collect(),
        ),
        Node::Fields(fields) => {
            let mut map = Map::new();
            for (key, value) in fields {
                let line = key.referenced.line();
                // Both ways to write a key behind its parent: as a field and as a key of a free map.
                let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                let bracket = path.strip_suffix(&format!(".{}", key.value)).map(|p| format!("{p}[{}]", key.value));
                lines.extend(bracket.map(|bracket| (bracket, line)));
                lines.insert(path.clone(), line);
                map.insert(key.value, resolve(value.value, &path, lines));
            }
            Value::Object(map)
        }
    }
}

/// A YAML node.
#[derive(Debug)]
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Fields(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // Infinity and NaN have no JSON form; as text they are refused wherever a number is wanted.
        let number = Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number);
        Ok(Node::Scalar(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Node::Fields(fields))
    }
}
