//! Whole millicores and whole bytes: the only numbers the vertical pod autoscaler stores, compares and hands out.
//!
//! Every stage of it truncates to them, so a re-implementation in real numbers would drift from it.

/// The largest amount the recommender can express, in millicores or bytes (`model.MaxResourceAmount`).
const MAX_AMOUNT: f64 = 1e14;

/// CPU and memory, each of which may be absent. Absent is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU in millicores.
    pub cpu_milli: Option<i64>,
    /// Memory in bytes.
    pub memory_bytes: Option<i64>,
}

/// One of the two resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPU, counted in millicores.
    Cpu,
    /// Memory, counted in bytes.
    Memory,
}

impl Resource {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Memory];
}

impl Amounts {
    /// The amount of one resource.
    #[must_use]
    pub const fn get(&self, resource: Resource) -> Option<i64> {
        match resource {
            Resource::Cpu => self.cpu_milli,
            Resource::Memory => self.memory_bytes,
        }
    }

    /// Sets the amount of one resource.
    pub const fn set(&mut self, resource: Resource, amount: Option<i64>) {
        match resource {
            Resource::Cpu => self.cpu_milli = amount,
            Resource::Memory => self.memory_bytes = amount,
        }
    }

    /// Each amount that is present, changed.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(Resource, i64) -> i64) -> Self {
        Self {
            cpu_milli: self.cpu_milli.map(|amount| change(Resource::Cpu, amount)),
            memory_bytes: self.memory_bytes.map(|amount| change(Resource::Memory, amount)),
        }
    }

    /// Own amounts, with the other's where there are any.
    #[must_use]
    pub fn overlaid(self, over: Self) -> Self {
        Self { cpu_milli: over.cpu_milli.or(self.cpu_milli), memory_bytes: over.memory_bytes.or(self.memory_bytes) }
    }
}

/// A real amount, truncated to a whole one.
///
/// No number at all (0 × ∞, a bound without confidence over no usage) becomes the smallest integer, as the conversion
/// does on amd64: a later minimum then lifts it to that minimum.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "truncation is the point; the range is checked before")]
pub(super) fn truncated(amount: f64) -> i64 {
    if amount.is_nan() { i64::MIN } else { amount.clamp(0.0, MAX_AMOUNT) as i64 }
}

/// An amount times a factor, truncated.
#[must_use]
pub(in super::super) fn scaled(amount: i64, factor: f64) -> i64 {
    truncated(amount as f64 * factor)
}
