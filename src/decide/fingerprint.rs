//! A number that changes when anything in a value does: FNV-1a over its JSON, written nowhere on the way.

use std::io::{Result, Write};

use serde::Serialize;

/// Offset basis and prime of the 64-bit FNV-1a.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

struct Hash(u64);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
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
    fn it_is_fnv_1a_and_differs_where_values_do() {
        let mut hash = Hash(BASIS);
        hash.write_all(b"a").expect("nothing is written");
        // From the authors' table of test vectors.
        assert_eq!(hash.0, 0xaf63_dc4c_8601_ec8c);
        assert_ne!(of(&[1, 2]).expect("JSON"), of(&[1, 3]).expect("JSON"));
    }
}
