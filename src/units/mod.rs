//! Units: the numbers that cross a room's door, each with its unit in its type.
//!
//! A quantity of CPU is [`Cores`], of memory [`Bytes`], of time [`Seconds`], of money [`Dollars`]; a count of pods is
//! [`Replicas`]. Inside a room arithmetic may use bare `f64`; what leaves the room carries its unit.
//! Kubernetes' own notation (`250m`, `1Gi`) is [`Quantity`], parsed exactly.
//!
//! Invariant: nothing here reads a clock, allocates per operation, or depends on the platform's mathematics library
//! (see [`maths`]).

pub mod fnv;
pub mod maths;
mod quantity;
mod real;

pub use quantity::{Quantity, QuantityError};
pub use real::{Cores, Dollars, DollarsPerHour, Seconds};
use serde::{Deserialize, Serialize};

/// A number of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Replicas(pub u32);

impl Replicas {
    /// The count as a real number, for capacity arithmetic.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0)
    }
}

impl std::fmt::Display for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// One mebibyte.
    pub const MIB: u64 = 1 << 20;
    /// One gibibyte.
    pub const GIB: u64 = 1 << 30;

    /// The amount as a real number of bytes.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The amount in GiB.
    #[must_use]
    pub fn gib(self) -> f64 {
        self.as_f64() / Self::GIB as f64
    }

    /// Rounds a real number of bytes up; negative and NaN become 0.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is what is meant"
    )]
    pub fn ceil_from(bytes: f64) -> Self {
        Self(bytes.ceil() as u64)
    }
}

/// As people read memory: `412 MiB`, `1.5 GiB`.
impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 >= Self::GIB && self.gib() < 10.0 && !self.0.is_multiple_of(Self::GIB) {
            write!(f, "{:.1} GiB", self.gib())
        } else if self.0 >= Self::GIB {
            write!(f, "{:.0} GiB", self.gib())
        } else {
            write!(f, "{:.0} MiB", self.as_f64() / Self::MIB as f64)
        }
    }
}
