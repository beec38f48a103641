//! Parts of an object that are kept as they came, because reading them may fail.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::takeover::TargetRef;

/// JSON, kept as text: a tenth of the room that the parsed value takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread(Arc<str>);

impl Unread {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not what is wanted.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        // Not at once: errors would name places in a text that nobody has seen.
        let value: Value = if self.0.is_empty() { Value::Null } else { serde_json::from_str(&self.0)? };
        serde_json::from_value(value)
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(value.to_string().into()))
    }
}

/// The spec of a policy, unread but for what is looked at all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadSpec {
    text: Unread,
    /// `targetRef.apiVersion`, when it is a text.
    pub api_version: Option<Box<str>>,
    /// The target that it names, as far as kind and name are texts.
    pub target: Option<TargetRef>,
    /// `mode`, when it is a text.
    pub mode: Option<Box<str>>,
}

impl UnreadSpec {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not what is wanted.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        self.text.read()
    }
}

impl<'de> Deserialize<'de> for UnreadSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec = Value::deserialize(deserializer)?;
        let text = |path: &str| spec.pointer(path).and_then(Value::as_str);
        let (kind, name) = (text("/targetRef/kind"), text("/targetRef/name"));
        Ok(Self {
            api_version: text("/targetRef/apiVersion").map(Into::into),
            target: kind.zip(name).map(|(kind, name)| TargetRef { kind: kind.to_owned(), name: name.to_owned() }),
            mode: text("/mode").map(Into::into),
            text: Unread(spec.to_string().into()),
        })
    }
}
