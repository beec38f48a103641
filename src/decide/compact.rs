//! Compact text for the long parts of a [`Memory`](super::Memory): lists of numbers that mostly repeat.
//!
//! A list is one string: its values in their shortest exact form, separated by spaces, `3x0.5` for three times 0.5. For
//! `#[serde(with = "compact")]` on a `Vec` of numbers.
//!
//! Invariant: what is read back is what was written, bit for bit; text that is not such a list, or a longer one than any
//! that is written, is an error.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// No list of a Memory is longer: twice the counters of the largest policy.
const LONGEST: usize = 2048;

/// Writes a list.
pub(super) fn serialize<T: Copy + PartialEq + Display, S: Serializer>(
    values: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Runs(values))
}

/// Reads a list.
pub(super) fn deserialize<'de, T: Copy + FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    read(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// A list as it is written.
struct Runs<'a, T>(&'a [T]);

impl<T: Copy + PartialEq + Display> Display for Runs<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        while let Some(first) = rest.first() {
            // Compared as text: 0 and -0 are equal and not the same.
            let text = first.to_string();
            let run = rest.iter().take_while(|x| *x == first && x.to_string() == text).count();
            let gap = if run < rest.len() { " " } else { "" };
            if run > 1 {
                write!(f, "{run}x{text}{gap}")?;
            } else {
                write!(f, "{text}{gap}")?;
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

fn read<T: Copy + FromStr>(text: &str) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for word in text.split_ascii_whitespace() {
        let bad = || format!("`{}` is not a number of a list", word.chars().take(40).collect::<String>());
        let (times, value) = match word.split_once('x') {
            Some((times, value)) => (times.parse::<usize>().map_err(|_| bad())?, value),
            None => (1, word),
        };
        let value = value.parse::<T>().map_err(|_| bad())?;
        if times > LONGEST - values.len() {
            return Err(format!("a list has more than {LONGEST} numbers"));
        }
        values.resize(values.len() + times, value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_repeats_is_counted() {
        assert_eq!(Runs(&[0.0_f32, 0.0, 1799.5, 0.1, 0.1, 0.1]).to_string(), "2x0 1799.5 3x0.1");
        assert_eq!(Runs::<u16>(&[]).to_string(), "");
        assert_eq!(read::<u16>("2x7 9").unwrap(), [7, 7, 9]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["x", "3x", "x3", "-1x2", "1,2", "2x2x2"] {
            assert!(read::<f32>(text).unwrap_err().contains("is not a number"), "{text}");
        }
        assert!(read::<u16>("70000").is_err() && read::<u16>("99999999999999999999x1").is_err());
        assert_eq!(read::<f32>("2048x1 1").unwrap_err(), "a list has more than 2048 numbers");
    }

    proptest! {
        #[test]
        fn a_list_comes_back_bit_for_bit(values in proptest::collection::vec(prop_oneof![any::<f32>(), Just(0.0_f32), Just(-0.0), Just(1800.0)], 0..300)) {
            let finite: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
            let back: Vec<f32> = read(&Runs(&finite).to_string()).unwrap();
            prop_assert_eq!(back.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), finite.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        }
    }
}
