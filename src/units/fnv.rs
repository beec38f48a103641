//! FNV-1a with 64 bits (Fowler, Noll and Vo): a sum that is the same in every build and on every machine. No defence
//! against people who choose what is summed.

/// What a sum begins with.
pub const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// What each byte multiplies with.
const PRIME: u64 = 0x0100_0000_01b3;

/// The sum over what was summed before ([`BASIS`]: nothing) and these bytes.
#[must_use]
pub fn fnv1a(before: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(before, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_its_authors() {
        // From their table of test vectors.
        assert_eq!(fnv1a(BASIS, *b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(BASIS, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(BASIS, *b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a(fnv1a(BASIS, *b"foo"), *b"bar"), 0x8594_4171_f739_67e8);
    }
}
