//! A number that changes when anything in a value does: the sum of its JSON, written nowhere on the way.

use std::io::{Result, Write};

use serde::Serialize;

use crate::units::fnv::{BASIS, fnv1a};

struct Hash(u64);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0 = fnv1a(self.0, bytes.iter().copied());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The fingerprint of a value.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn of(value: &impl Serialize) -> serde_json::Result<u64> {
    let mut hash = Hash(BASIS);
    serde_json::to_writer(&mut hash, value)?;
    Ok(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_differs_where_values_do() {
        assert_ne!(of(&[1, 2]).expect("JSON"), of(&[1, 3]).expect("JSON"));
    }
}
