//! One object of a manifest: its fields with their places, and what is left of it.

use std::fmt;

use serde_json::Value;

use super::super::validate::Document;
use crate::api;

/// What kind of autoscaler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `HorizontalPodAutoscaler`.
    Hpa,
    /// `VerticalPodAutoscaler`.
    Vpa,
    /// `ScaledObject`.
    Keda,
}

/// A setting that is not in the policy, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    place: String,
    what: String,
}

impl Left {
    /// Something about a whole object.
    pub(super) fn new(place: &str, what: &str) -> Self {
        Self { place: place.to_owned(), what: what.to_owned() }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// An autoscaler in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a> {
    /// What it is.
    pub(super) kind: Kind,
    file: &'a str,
    document: &'a Document,
    /// Index in the list that it is an item of.
    item: Option<usize>,
    value: &'a Value,
}

impl<'a> Object<'a> {
    /// The objects of a document: itself, or the items of a list with their index.
    fn items(document: &Document) -> Vec<(Option<usize>, &Value)> {
        let value = &document.value;
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match value["items"].as_array().filter(|_| is_list) {
            Some(items) => items.iter().enumerate().map(|(index, item)| (Some(index), item)).collect(),
            None => vec![(None, value)],
        }
    }

    /// The objects of a document, whatever they are.
    pub(super) fn values(document: &Document) -> impl Iterator<Item = &Value> {
        Self::items(document).into_iter().map(|(_, value)| value)
    }

    /// The autoscalers of a document; other objects are passed over.
    pub(super) fn all(file: &'a str, document: &'a Document) -> Vec<Self> {
        let read = |(item, value): (Option<usize>, &'a Value)| {
            let group = value["apiVersion"].as_str()?.split_once('/')?.0;
            let kind = match (group, value["kind"].as_str()?) {
                ("autoscaling", "HorizontalPodAutoscaler") => Kind::Hpa,
                ("autoscaling.k8s.io", "VerticalPodAutoscaler") => Kind::Vpa,
                ("keda.sh", "ScaledObject") => Kind::Keda,
                _ => return None,
            };
            Some(Self { kind, file, document, item, value })
        };
        Self::items(document).into_iter().filter_map(read).collect()
    }

    /// The whole object.
    pub(super) const fn value(&self) -> &'a Value {
        self.value
    }

    /// A field, by its JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> &'a Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Name of the object.
    pub(super) fn name(&self) -> &'a str {
        self.at("/metadata/name").as_str().unwrap_or("unnamed")
    }

    /// Its namespace; empty when the manifest says none.
    pub(super) fn namespace(&self) -> &'a str {
        self.at("/metadata/namespace").as_str().unwrap_or_default()
    }

    /// Version of its API, without the group.
    pub(super) fn version(&self) -> &'a str {
        self.at("/apiVersion").as_str().and_then(|text| text.split_once('/')).map_or("", |(_, version)| version)
    }

    /// What it scales, with KEDA's defaults where it is KEDA's.
    pub(super) fn target(&self) -> Option<api::TargetRef> {
        let (path, api_version, kind) = match self.kind {
            Kind::Keda => ("/spec/scaleTargetRef", "apps/v1", Some("Deployment")),
            Kind::Hpa => ("/spec/scaleTargetRef", "", None),
            Kind::Vpa => ("/spec/targetRef", "", None),
        };
        let text = |field: &str| self.at(&format!("{path}/{field}")).as_str();
        Some(api::TargetRef {
            api_version: text("apiVersion").unwrap_or(api_version).to_owned(),
            kind: text("kind").or(kind)?.to_owned(),
            name: text("name")?.to_owned(),
        })
    }

    /// The `ScaledObject` that made this HPA.
    pub(super) fn keda_owner(&self) -> Option<&'a str> {
        let owners = self.at("/metadata/ownerReferences").as_array().filter(|_| self.kind == Kind::Hpa)?;
        owners.iter().find(|owner| owner["kind"] == "ScaledObject")?["name"].as_str()
    }

    /// A setting that is left: where, what about it, what to do.
    pub(super) fn left(&self, path: &str, what: &str, instead: &str) -> Left {
        Left { place: self.place_of(path), what: format!("{path} {what}: {instead}") }
    }

    /// Where it is, and what it is.
    pub(super) fn place(&self) -> String {
        self.place_of("spec")
    }

    fn place_of(&self, path: &str) -> String {
        let prefix = self.item.map_or_else(String::new, |index| format!("items[{index}]."));
        let line = self.document.line(&format!("{prefix}{path}"));
        let kind = self.at("/kind").as_str().unwrap_or_default();
        format!("{}:{line}: {kind} {}", self.file, self.name())
    }

    /// Fields beside those that are understood, each as left.
    pub(super) fn unknown(&self, path: &str, known: &[&str]) -> Vec<Left> {
        let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
        let fields = self.at(&pointer).as_object();
        let unknown = fields.into_iter().flat_map(|fields| fields.keys()).filter(|key| !known.contains(&key.as_str()));
        unknown.map(|key| self.left(&format!("{path}.{key}"), "has no counterpart", "do without it")).collect()
    }
}

/// Namespace, kind and name of an object, as a draft is told by its target's.
pub(super) fn identity(object: &Value) -> (String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/kind"), text("/metadata/name"))
}

/// A number that may be written as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|x| x.is_finite())
}

/// A whole number that may be written as text.
pub(super) fn whole(value: &Value) -> Option<i32> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
    i32::try_from(number).ok()
}

/// A quantity as it was written.
pub(super) fn quantity(value: &Value) -> Option<api::IntOrText> {
    match value {
        Value::Number(number) => {
            Some(number.as_i64().map_or_else(|| api::IntOrText::Text(number.to_string()), api::IntOrText::Int))
        }
        Value::String(text) => Some(api::IntOrText::Text(text.clone())),
        _ => None,
    }
}
