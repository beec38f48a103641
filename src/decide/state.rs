//! Memory: what `decide` keeps between ticks of one workload.
//!
//! One part per term; each term reads and writes its own. At most 20 KB as JSON, whatever is observed. Serialising it
//! and reading it back changes nothing, so a restart or a replay goes on as if nothing had happened.
//!
//! As JSON: `{"version":3,"check":"<16 hex digits>","state":{…}}`. A memory of another version is forgotten. One that is
//! not exactly what was written (cut off, a digit changed, a part missing) is refused: half a memory is worse than none.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    capacity, demand, foreign, limits, memory::Peaks, queue, replicas, sample, saturation, size, stale, vertical, zero,
};

/// Layout of [`Memory`]; a memory of another version is forgotten, never misread. Every change of what a term keeps
/// raises it.
pub const MEMORY_VERSION: u32 = 3;

/// Longest text that is read: twice what is ever written.
const LONGEST_TEXT: usize = 40 << 10;

/// What is remembered about one workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct Memory {
    /// Time, pod counts and template.
    pub(super) clock: sample::Clock,
    /// Since when signals are lost.
    pub(super) trust: stale::Trust,
    /// Demand model.
    pub(super) demand: demand::Identifier,
    /// Capacity feedback and table.
    pub(super) capacity: capacity::Feedback,
    /// Work per queued item.
    pub(super) queue: queue::Work,
    /// Saturation episode.
    pub(super) saturation: saturation::Episode,
    /// Replica counters.
    pub(super) counters: replicas::Counters,
    /// Writes of others.
    pub(super) foreign: foreign::Writes,
    /// Own scale events, for `behavior`.
    pub(super) events: limits::Events,
    /// Sizes that compete.
    pub(super) sizes: size::Regrets,
    /// Nominal and asked size, boost.
    pub(super) vertical: vertical::Vertical,
    /// Idle gaps, and a zero that is ours.
    pub(super) zero: zero::Zero,
    /// Memory peaks by container.
    pub(super) peaks: BTreeMap<String, Peaks>,
}

/// Why a text is not a [`Memory`]: half a sentence, to be put behind its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Memory: {why}")]
pub struct MemoryError {
    why: String,
}

impl MemoryError {
    /// The class of the error.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        "memory"
    }
}

impl Memory {
    /// Nothing remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Reads what [`Memory::to_text`] wrote. Another version's is a new one.
    pub fn from_text(text: &[u8]) -> Result<Self, MemoryError> {
        if text.len() > LONGEST_TEXT {
            return Err(MemoryError { why: format!("it is longer than {} KiB", LONGEST_TEXT >> 10) });
        }
        serde_json::from_slice(text).map_err(|error| MemoryError { why: error.to_string() })
    }

    /// As text: one line of JSON.
    pub fn to_text(&self) -> Result<String, MemoryError> {
        serde_json::to_string(self).map_err(|error| MemoryError { why: error.to_string() })
    }
}

/// The parts alone.
struct State<'a>(&'a Memory);

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The inherent function that `remote` makes.
        Memory::serialize(self.0, serializer)
    }
}

/// A fingerprint of the parts. It guards against accidents, not against people.
fn check(memory: &Memory) -> Result<String, serde_json::Error> {
    Ok(format!("{:016x}", super::fingerprint::of(&State(memory))?))
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            version: u32,
            check: String,
            state: State<'a>,
        }
        let check = check(self).map_err(serde::ser::Error::custom)?;
        Written { version: MEMORY_VERSION, check, state: State(self) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            version: u32,
            check: Option<String>,
            state: Option<serde_json::Value>,
        }
        let read = Read::deserialize(deserializer)?;
        if read.version != MEMORY_VERSION {
            return Ok(Self::new());
        }
        let state = read.state.ok_or_else(|| D::Error::missing_field("state"))?;
        let memory = Self::deserialize(state).map_err(D::Error::custom)?;
        // Written anew: what was changed or left out on the way does not give the same text.
        match check(&memory) {
            Ok(check) if Some(&check) == read.check.as_ref() => Ok(memory),
            _ => Err(D::Error::custom("it is not as it was written (its check does not fit)")),
        }
    }
}
