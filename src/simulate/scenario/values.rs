//! Values of a scenario file: each says itself what is wrong with it, so that the line is known.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::{
    policy::parse_duration,
    units::{Bytes, Cores, Quantity, Seconds},
};

/// A number or a text, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Reads a scalar with a function that says what is wrong.
macro_rules! value {
    ($(#[$doc:meta])* $name:ident($inner:ty), $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Scalar(text) = Scalar::deserialize(deserializer)?;
                let read: fn(&str) -> Result<$inner, String> = $read;
                read(&text).map(Self).map_err(D::Error::custom)
            }
        }
    };
}

value!(
    /// A time: `30s`, `1h30m`.
    Span(Seconds),
    parse_duration
);
value!(
    /// CPU: `2`, `250m`.
    Cpu(Cores),
    |text| quantity(text).map(Quantity::cores)
);
value!(
    /// Memory: `512Mi`.
    Memory(Bytes),
    |text| quantity(text).map(Quantity::bytes)
);
value!(
    /// A number that is not negative.
    Amount(f64),
    |text| match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("`{text}` is not a number from 0; correct it")),
    }
);
value!(
    /// A share from 0 to 1.
    Share(f64),
    |text| match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a share from 0 to 1; write 0.25 for a quarter")),
    }
);

fn quantity(text: &str) -> Result<Quantity, String> {
    let quantity: Quantity = text.parse().map_err(|error: crate::units::QuantityError| error.to_string())?;
    if quantity.is_negative() { Err(format!("`{text}` is negative; give an amount from 0")) } else { Ok(quantity) }
}
