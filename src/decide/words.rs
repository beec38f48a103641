//! Numbers as people read them, for sentences. Nothing here decides.

/// `40 s`, `5 min 20 s`, `2 h 5 min`, `3 d`.
pub(super) fn duration(seconds: f64) -> String {
    let s = super::arith::count(seconds.max(0.0) + 0.5);
    let (d, h, min, rest) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
    match (d, h, min, rest) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, 0, ..) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// A number of cores (no unit): one decimal, two below 10 where the second matters, three below 0.1.
pub(super) fn cores(x: f64) -> String {
    let text = match x.abs() {
        a if a >= 99.95 => format!("{x:.0}"),
        a if a >= 0.0995 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    };
    trim_zeros(&text)
}

/// Drops zeros behind the point: `7.40` is `7.4`, `8.00` is `8`.
pub(super) fn trim_zeros(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

/// A share as percent: `10 %`, `2.1 %`, `0.05 %`.
pub(super) fn percent(share: f64) -> String {
    let p = share * 100.0;
    let text = match p.abs() {
        a if a >= 9.95 => format!("{p:.0}"),
        a if a >= 0.995 => format!("{p:.1}"),
        _ => format!("{p:.2}"),
    };
    format!("{} %", trim_zeros(&text))
}

/// `2,140`.
pub(super) fn thousands(x: f64) -> String {
    let digits = format!("{:.0}", x.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A latency: `310 ms`, `2.5 s`.
pub(super) fn latency(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{} s", trim_zeros(&format!("{seconds:.2}")))
    }
}

/// `1 core`, `1.2 cores`.
pub(super) fn cores_unit(x: f64) -> String {
    let text = cores(x);
    let unit = if text == "1" { "core" } else { "cores" };
    format!("{text} {unit}")
}

/// `1 replica`, `3 replicas`.
pub(super) fn replicas(n: u32) -> String {
    if n == 1 { "1 replica".to_owned() } else { format!("{n} replicas") }
}

/// `1 item waits`, `2,140 items wait`.
pub(super) fn items_wait(items: f64) -> String {
    if items < 1.5 && items > 0.0 { "1 item waits".to_owned() } else { format!("{} items wait", thousands(items)) }
}

/// The clock time of an instant in UTC: `12:44`.
pub(super) fn clock(unix_seconds: f64) -> String {
    let at = super::sample::timestamp(unix_seconds);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (text, want) in [
            (duration(320.0), "5 min 20 s"),
            (duration(40.4), "40 s"),
            (duration(7500.0), "2 h 5 min"),
            (duration(86_400.0 * 3.0), "3 d"),
            (duration(-3.0), "0 s"),
            (cores(8.0), "8"),
            (cores(7.4), "7.4"),
            (cores(0.05), "0.05"),
            (cores(140.2), "140"),
            (percent(0.1), "10 %"),
            (percent(0.021), "2.1 %"),
            (thousands(2140.0), "2,140"),
            (thousands(12.0), "12"),
            (latency(0.31), "310 ms"),
            (cores_unit(1.0), "1 core"),
            (clock(0.0), "00:00 UTC"),
        ] {
            assert_eq!(text, want);
        }
    }
}
