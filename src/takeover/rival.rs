//! One autoscaler of somebody else, as the API server shows it, and what its kind makes of the protocol's verbs.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{ANNOTATION, Saved, TargetRef, hpa, keda, vpa};

/// How long a rival whose status does not tell must have been seen inert without a break before it counts as quiet: one
/// round of the VPA's updater (`--updater-interval`, 1 min), which is also four syncs of an HPA (15 s).
pub const SETTLE: Duration = Duration::from_mins(1);

/// The kinds of autoscalers that can be stood down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `VerticalPodAutoscaler` of `autoscaling.k8s.io/v1`. First, so that it is stood down before the replicas' owner and the
    /// time without an owner of replicas is short.
    Vpa,
    /// `HorizontalPodAutoscaler` of `autoscaling/v2`.
    Hpa,
    /// `ScaledObject` of `keda.sh/v1alpha1`.
    ScaledObject,
}

impl Kind {
    /// All of them, in the order in which they are stood down.
    pub const ALL: [Self; 3] = [Self::Vpa, Self::Hpa, Self::ScaledObject];

    /// The word in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vpa => "VerticalPodAutoscaler",
            Self::Hpa => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }

    /// The `apiVersion` that is read and written; any other is as good as unreadable.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Vpa => "autoscaling.k8s.io/v1",
            Self::Hpa => "autoscaling/v2",
            Self::ScaledObject => "keda.sh/v1alpha1",
        }
    }

    /// Whether it moves sizes; else replicas.
    #[must_use]
    pub const fn sizes(self) -> bool {
        matches!(self, Self::Vpa)
    }

    /// The edit that does in Git what standing down would do.
    pub(super) const fn edit_in_git(self) -> &'static str {
        match self {
            Self::Vpa => "set spec.updatePolicy.updateMode: \"Off\" there",
            Self::Hpa => "delete it there",
            Self::ScaledObject => "annotate it there with autoscaling.keda.sh/paused: \"true\"",
        }
    }
}

/// An autoscaler of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Which kind.
    pub kind: Kind,
    /// The whole object, as read at [`Kind::api_version`].
    pub object: Value,
    /// Whether its controller is known to act on the object as read: what [`Rival::observed`] says, or, where that says
    /// nothing, whether it was seen as it is for [`SETTLE`] without a break.
    pub quiet: bool,
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name())
    }
}

/// Who makes an object what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody but people.
    Nobody,
    /// KEDA, for the `ScaledObject` of this uid.
    Keda(String),
    /// Something else, by kind and name.
    Other(String),
}

impl Rival {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whom it scales, with KEDA's default kind; none when it names nobody.
    #[must_use]
    pub fn target(&self) -> Option<TargetRef> {
        let at = &self.object["spec"][if self.kind == Kind::Vpa { "targetRef" } else { "scaleTargetRef" }];
        let default = (self.kind == Kind::ScaledObject).then_some("Deployment");
        Some(TargetRef { kind: at["kind"].as_str().or(default)?.to_owned(), name: at["name"].as_str()?.to_owned() })
    }

    /// Whether its controller says that it acts on the object as read; none when its status cannot tell.
    #[must_use]
    pub fn observed(&self) -> Option<bool> {
        match self.kind {
            Kind::Hpa => hpa::observed(&self.object),
            Kind::Vpa => None,
            Kind::ScaledObject => Some(keda::observed(&self.object)),
        }
    }

    /// Whether it moves nothing, as it is written now.
    #[must_use]
    pub fn inert(&self) -> bool {
        match self.kind {
            Kind::Hpa => hpa::inert(&self.object),
            Kind::Vpa => vpa::inert(&self.object),
            Kind::ScaledObject => keda::inert(&self.object),
        }
    }

    /// What the annotation says: none when there is none, an error when it cannot be read.
    pub fn saved(&self) -> Result<Option<Saved>, String> {
        match self.object["metadata"]["annotations"].get(ANNOTATION) {
            None => Ok(None),
            Some(Value::String(text)) => Saved::read(text).map(Some),
            Some(_) => Err("it is not a text".into()),
        }
    }

    /// The fields that standing down changes, as they are.
    #[must_use]
    pub fn original(&self) -> Value {
        match self.kind {
            Kind::Hpa => hpa::original(&self.object),
            Kind::Vpa => vpa::original(&self.object),
            Kind::ScaledObject => keda::original(&self.object),
        }
    }

    /// The object with an annotation, nothing else changed.
    pub(super) fn annotated(&self, saved: &Saved) -> Value {
        let mut object = self.object.clone();
        annotate(&mut object, ANNOTATION, Some(saved.text()));
        object
    }

    /// The object made inert.
    pub(super) fn stood_down(&self, saved: &Saved) -> Value {
        let mut object = self.annotated(&Saved { down: true, ..saved.clone() });
        match self.kind {
            Kind::Hpa => hpa::stand_down(&mut object),
            Kind::Vpa => vpa::stand_down(&mut object),
            Kind::ScaledObject => keda::stand_down(&mut object),
        }
        object
    }

    /// The object as it was, without the annotation: every field that is still as standing down left it gets its
    /// original, every other keeps what somebody wrote since. The error is the end of a sentence.
    pub(super) fn restored(&self, saved: &Saved) -> Result<Value, String> {
        let mut object = self.object.clone();
        if saved.down {
            match self.kind {
                Kind::Hpa => hpa::restore(&mut object, &saved.original)?,
                Kind::Vpa => vpa::restore(&mut object, &saved.original),
                Kind::ScaledObject => keda::restore(&mut object, &saved.original),
            }
        }
        annotate(&mut object, ANNOTATION, None);
        Ok(object)
    }

    /// The counts that it leaves alone, least and most, once it is the given object; none when it moves no count.
    pub(super) fn bounds(&self, object: &Value) -> Option<(u32, u32)> {
        match self.kind {
            Kind::Hpa => (!hpa::inert(object)).then(|| hpa::bounds(object)),
            Kind::ScaledObject => (!keda::inert(object)).then(|| keda::bounds(object)),
            Kind::Vpa => None,
        }
    }

    /// Who makes it what it is. Several owners are as good as an unknown one: any of them may write it.
    pub(super) fn owner(&self) -> Owner {
        let owners = self.object["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        let named = |owner: &Value| {
            let text = |field: &str| owner[field].as_str().unwrap_or("unnamed").to_owned();
            format!("{} {}", text("kind"), text("name"))
        };
        match owners {
            [] => Owner::Nobody,
            [one] if self.kind == Kind::Hpa && one["kind"] == Kind::ScaledObject.as_str() => {
                Owner::Keda(one["uid"].as_str().unwrap_or_default().to_owned())
            }
            [one] if one["controller"] != true => Owner::Nobody,
            [one] => Owner::Other(named(one)),
            several => Owner::Other(several.iter().map(named).collect::<Vec<_>>().join(" and ")),
        }
    }

    /// The tool that keeps it in Git, by the marks that these tools leave.
    pub(super) fn in_git(&self) -> Option<&'static str> {
        super::Tool::of(&self.object["metadata"]).map(super::Tool::as_str)
    }
}

/// Sets or removes an annotation. A map that was made for it goes with the last one.
pub(super) fn annotate(object: &mut Value, key: &str, value: Option<String>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let mut annotations = match metadata.remove("annotations") {
        Some(Value::Object(annotations)) => annotations,
        _ => Map::new(),
    };
    match value {
        Some(text) => drop(annotations.insert(key.to_owned(), text.into())),
        None => drop(annotations.remove(key)),
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), annotations.into());
    }
}

/// Sets a member of an object, or removes it.
pub(super) fn put(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(members) = object.as_object_mut() {
        match value {
            Some(value) => drop(members.insert(key.to_owned(), value)),
            None => drop(members.remove(key)),
        }
    }
}
