//! Kubernetes quantities (`250m`, `1Gi`, `1e3`), exact to a billionth.
//!
//! The grammar is apimachinery's `resource.Quantity`: sign, digits with an optional point, then a binary suffix
//! (`Ki Mi Gi Ti Pi Ei`), a decimal one (`n u m k M G T P E`) or an exponent (`e3`, `E3`). `E` directly followed by
//! digits is an exponent, alone it is exa. Like there, a value finer than a billionth is rounded up, away from zero.

use std::{fmt, str::FromStr};

use super::{Bytes, Cores};

/// An exact quantity in billionths of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not follow the grammar.
    #[error("\"{0}\" is not a quantity: write a number with an optional suffix, for example 250m, 1.5 or 512Mi")]
    Malformed(String),
    /// The value does not fit (more than about 10^20 units).
    #[error("\"{0}\" is too large for a quantity")]
    TooLarge(String),
}

const NANO: i128 = 1_000_000_000;

/// Decimals that are read; of further ones it only counts whether they are zero.
const MOST_DECIMALS: usize = 28;

impl Quantity {
    /// From billionths.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Self {
        Self { nanos }
    }

    /// From whole millis.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis as i128 * (NANO / 1000) }
    }

    /// The value in units.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Whether the value is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Read as CPU.
    #[must_use]
    pub fn cores(self) -> Cores {
        Cores(self.as_f64())
    }

    /// Read as memory, rounded up to whole bytes; negative becomes 0.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        let whole = self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) > 0);
        Bytes(u64::try_from(whole.max(0)).unwrap_or(u64::MAX))
    }

    /// CPU as Kubernetes writes it: `1200m`, `2`.
    #[must_use]
    pub fn format_cores(cores: Cores) -> String {
        let millis = cores.millis_ceil();
        if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
    }

    /// Memory as Kubernetes writes it: the largest binary suffix that divides it, else plain bytes.
    #[must_use]
    pub fn format_bytes(bytes: Bytes) -> String {
        for (suffix, unit) in [("Gi", Bytes::GIB), ("Mi", Bytes::MIB), ("Ki", 1 << 10)] {
            if bytes.0 > 0 && bytes.0.is_multiple_of(unit) {
                return format!("{}{suffix}", bytes.0 / unit);
            }
        }
        bytes.0.to_string()
    }
}

/// What a suffix multiplies by: a power of ten and a power of two.
#[derive(Clone, Copy)]
struct Scale {
    ten: i32,
    two: u32,
}

fn scale_of(suffix: &str) -> Option<Scale> {
    let (ten, two) = match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        // Four digits are more than any value that fits needs, and cannot overflow below.
        _ => (suffix.strip_prefix(['e', 'E'])?.parse::<i16>().ok()?.clamp(-9999, 9999).into(), 0),
    };
    Some(Scale { ten, two })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let malformed = || QuantityError::Malformed(text.to_owned());
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(malformed());
        }
        let scale = scale_of(suffix).ok_or_else(malformed)?;
        let kept = &fraction[..fraction.len().min(MOST_DECIMALS)];
        let lost = fraction[kept.len()..].bytes().any(|b| b != b'0');
        let mantissa: i128 = format!("{whole}{kept}").parse().map_err(|_| too_large())?;
        let mantissa = mantissa.checked_mul(1 << scale.two).ok_or_else(too_large)?;
        // From units to billionths.
        let shift = 9 + scale.ten - i32::try_from(kept.len()).expect("few digits are kept");
        let power = 10_i128.saturating_pow(shift.unsigned_abs());
        let nanos = if shift < 0 {
            mantissa / power + i128::from(mantissa % power != 0 || lost)
        } else if lost {
            // The digits that are not kept would count.
            return Err(malformed());
        } else {
            mantissa.checked_mul(power).filter(|_| mantissa == 0 || power < i128::MAX).ok_or_else(too_large)?
        };
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, unit) in [("", NANO), ("m", NANO / 1000), ("u", 1000)] {
            if self.nanos % unit == 0 {
                return write!(f, "{}{suffix}", self.nanos / unit);
            }
        }
        write!(f, "{}n", self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> i128 {
        text.parse::<Quantity>().expect(text).nanos
    }

    #[test]
    fn suffixes_and_exponents_as_in_apimachinery() {
        for (text, value) in [
            ("1", NANO),
            ("250m", NANO / 4),
            ("0.5", NANO / 2),
            (".5", NANO / 2),
            ("1.", NANO),
            ("1e3", 1000 * NANO),
            ("1E3", 1000 * NANO),
            ("1E", NANO * NANO * NANO),
            ("1Ki", 1024 * NANO),
            ("1.5Gi", 3 * (1 << 29) * NANO),
            ("-100m", -NANO / 10),
            ("+2", 2 * NANO),
            ("12e-3", 12 * NANO / 1000),
            ("1n", 1),
            ("0.1n", 1),
            ("5u", 5000),
            ("99999999999999999999999999999e-31", NANO / 100),
            ("1e-40", 1),
            ("0.123456789012345678901e-30", 1),
            ("0e99", 0),
            ("0.0000000000000000001e19", NANO),
            ("0.0000000000000000001Ei", 115_292_151),
        ] {
            assert_eq!(nanos(text), value, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "-", "abc", "1.2.3", "1mm", "1Kii", "1e", "1 Gi", "Gi", "1ki", "0x10", "1e3Ki", "NaN", "1e+", "1e99999",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        let huge = "9".repeat(32);
        assert!(huge.parse::<Quantity>().is_err());
    }

    #[test]
    fn requests_are_written_as_kubernetes_does() {
        assert_eq!(Quantity::format_cores(Cores(1.2)), "1200m");
        assert_eq!(Quantity::format_cores(Cores(2.0)), "2");
        assert_eq!(Quantity::format_bytes(Bytes(256 << 20)), "256Mi");
        assert_eq!(Quantity::format_bytes(Bytes(1000)), "1000");
    }

    proptest! {
        #[test]
        fn display_round_trips(nanos in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000) {
            let quantity = Quantity::from_nanos(nanos);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            drop(text.parse::<Quantity>());
        }
    }
}
