//! Durations as Go writes them: `250ms`, `30s`, `5m`, `1h30m`.

use jiff::SignedDuration;

use crate::units::Seconds;

/// Reads a duration of hours, minutes, seconds and milliseconds, the larger unit first.
///
/// jiff does the arithmetic; of the many forms that it reads only the one that the schema's pattern lets through is
/// accepted, so that a file that passes here passes the API server.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Seconds, String> {
    let refusal =
        || format!("\"{text}\" is not a duration: write a number and a unit (h, m, s, ms), for example 250ms or 1h30m");
    let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'h' | 'm' | 's'));
    if !plain
        || text.ends_with('.')
        || text.contains("..")
        || text.contains(".h")
        || text.contains(".m")
        || text.contains(".s")
    {
        return Err(refusal());
    }
    let duration: SignedDuration = text.parse().map_err(|_| refusal())?;
    Ok(Seconds(duration.as_secs_f64()))
}
