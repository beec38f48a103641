//! Texts of their own grammar: quantities and recorded load.

use crate::{simulate::Load, units::Quantity};

/// Beyond this a quantity is no request that a node could have, and millicores no longer tell it.
const SANE: f64 = 1e9;

/// A quantity: what is printed reads as the same, the value is that of the decimal number where there is no unit, and
/// whole bytes and millicores are rounded up and by less than one.
pub(super) fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    let value = quantity.as_f64();
    assert!(value.is_finite(), "{text}: {value}");
    assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity), "{text} is printed as {quantity}");
    assert_eq!(quantity.is_negative(), value < 0.0, "{text}: {value}");
    // A billionth is the finest step, and rounding is away from zero.
    if let Ok(decimal) = text.parse::<f64>() {
        let off = (value.abs() - decimal.abs()).abs();
        assert!(off <= 1.1e-9 + decimal.abs() * 1e-12, "{text}: {value} and not {decimal}");
    }
    if !(0.0..SANE).contains(&value) {
        return;
    }
    let bytes = quantity.bytes().as_f64();
    assert!(bytes - value < 1.0 + 1e-6 && bytes >= value - 1e-6, "{text}: {bytes} bytes");
    let written = Quantity::format_cores(quantity.cores());
    let back = written.parse::<Quantity>().map(Quantity::as_f64);
    assert!(back.is_ok_and(|x| x >= value - 1e-6 && x - value < 0.001 + 1e-6), "{text} is written as {written}");
}

/// A recorded load: what is kept is finite, ascending, no load is negative, and it is bounded by the time that it covers.
pub(super) fn trace(data: &[u8]) {
    let load = match Load::read("trace.csv", data, None) {
        Ok(load) => load,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("trace.csv:"), "{text}");
            return;
        }
    };
    let seconds = load.length_seconds();
    assert!(seconds.is_finite() && seconds > 0.0, "it lasts {seconds} s");
    assert!(load.samples.first().is_some_and(|first| first.at == 0.0));
    assert!(load.samples.windows(2).all(|pair| pair[0].at < pair[1].at), "ascending");
    for sample in &load.samples {
        assert!(sample.at.is_finite() && sample.at < seconds, "at {} of {seconds}", sample.at);
        assert!(sample.rate.is_finite() && sample.rate >= 0.0, "a rate of {}", sample.rate);
    }
    assert!(load.samples.len() as f64 <= seconds / 5.0 + 2.0, "{} samples of {seconds} s", load.samples.len());
    assert!(load.samples.iter().any(|sample| sample.rate > 0.0), "no load at all");
}
