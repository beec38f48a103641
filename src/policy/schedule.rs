//! A floor that returns with the calendar: when it begins, how long it lasts, how many replicas it asks for.
//!
//! Starts are times on a clock in a time zone. A start that the clock skips (in spring) is the moment at which it goes
//! on; one that comes twice (in autumn) begins both times: on doubt the floor is there.
//!
//! Must not read a clock; durations are time that passes, whatever clocks show meanwhile.

use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::AmbiguousOffset, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::units::{Replicas, Seconds};

/// Fields of a cron expression: minute, hour, day of the month, month, day of the week.
const FIELDS: usize = 5;
/// Most starts that are looked at around a change of the clock: one in a minute over the four hours that matter.
const MOST_STARTS: usize = 240;
/// Where it is tried whether a calendar has any start: eight years hold every 29 February that there is.
const TRIED: (i16, i16) = (2024, 2033);

/// A floor of the count that returns with the calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written", into = "Written")]
pub struct Schedule {
    cron: croner::Cron,
    zone: TimeZone,
    /// How long it lasts.
    pub duration: Seconds,
    /// Fewest replicas meanwhile.
    pub min_replicas: Replicas,
}

/// A schedule as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    cron: String,
    time_zone: String,
    duration: Seconds,
    min_replicas: Replicas,
}

impl TryFrom<Written> for Schedule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { cron, time_zone, duration, min_replicas } = written;
        Ok(Self { cron: parse_cron(&cron)?, zone: parse_zone(&time_zone)?, duration, min_replicas })
    }
}

impl From<Schedule> for Written {
    fn from(schedule: Schedule) -> Self {
        Self {
            cron: schedule.cron().to_owned(),
            time_zone: schedule.time_zone().to_owned(),
            duration: schedule.duration,
            min_replicas: schedule.min_replicas,
        }
    }
}

/// Reads a cron expression.
///
/// # Errors
/// A sentence that says what it should look like.
pub(super) fn parse_cron(text: &str) -> Result<croner::Cron, String> {
    let hint = "write five fields, for example 0 8 * * 1-5";
    if text.split_whitespace().count() != FIELDS {
        return Err(format!("\"{text}\" is not a cron expression of {FIELDS} fields: {hint}"));
    }
    let cron: croner::Cron =
        text.parse().map_err(|error| format!("\"{text}\" is not a cron expression ({error}): {hint}"))?;
    let from = DateTime::constant(TRIED.0, 1, 1, 0, 0, 0, 0);
    match next(&cron, from, true) {
        Some(first) if first.year() < TRIED.1 => Ok(cron),
        _ => Err(format!("\"{text}\" is a day that never comes: {hint}")),
    }
}

/// Reads the name of a time zone.
///
/// # Errors
/// A sentence that says what it should look like.
pub(super) fn parse_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("\"{name}\" is not a time zone: write a name of the tz database, for example Europe/Paris")
    })
}

/// A time on a clock, where no clock ever changes: croner then knows nothing of time zones.
fn plain(civil: DateTime) -> Option<Zoned> {
    civil.to_zoned(TimeZone::UTC).ok()
}

fn next(cron: &croner::Cron, from: DateTime, inclusive: bool) -> Option<DateTime> {
    cron.find_next_occurrence(&plain(from)?, inclusive).ok().map(|at| at.datetime())
}

fn previous(cron: &croner::Cron, from: DateTime, inclusive: bool) -> Option<DateTime> {
    cron.find_previous_occurrence(&plain(from)?, inclusive).ok().map(|at| at.datetime())
}

/// How long it is on a clock from each start to the end that follows, when that is always the same; both are cron
/// expressions.
///
/// # Errors
/// A sentence when one cannot be read, or when the time between them differs from start to start.
pub fn time_between(start: &str, end: &str) -> Result<Seconds, String> {
    let (from, to) = (parse_cron(start)?, parse_cron(end)?);
    let mut at = DateTime::constant(TRIED.0, 1, 1, 0, 0, 0, 0);
    let mut lasts = None;
    for _ in 0..MOST_STARTS {
        let Some(begins) = next(&from, at, false).filter(|begins| begins.year() < TRIED.1) else { break };
        let ends = next(&to, begins, false);
        let this = ends.map(|ends| ends.duration_since(begins));
        if this.is_none() || lasts.is_some_and(|lasts| Some(lasts) != this) {
            return Err(format!("from \"{start}\" to \"{end}\" is not always equally long"));
        }
        (lasts, at) = (this, begins);
    }
    lasts.map(|lasts| Seconds(lasts.as_secs_f64())).ok_or_else(|| format!("\"{start}\" never comes"))
}

impl Schedule {
    /// A schedule of compiled parts.
    pub(super) const fn new(cron: croner::Cron, zone: TimeZone, duration: Seconds, min_replicas: Replicas) -> Self {
        Self { cron, zone, duration, min_replicas }
    }

    /// The cron expression.
    #[must_use]
    pub fn cron(&self) -> &str {
        self.cron.as_str()
    }

    /// Name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The same instant on this schedule's clock.
    #[must_use]
    pub fn on_its_clock(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// The window that `now` lies in, start included and end not: (start, end).
    #[must_use]
    pub fn window(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let start = self.last_start(now)?;
        let end = self.end_of(start)?;
        (now < end).then_some((start, end))
    }

    /// The next window that begins after `now`: (start, end).
    #[must_use]
    pub fn next_window(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let start = self.next_start(now)?;
        Some((start, self.end_of(start)?))
    }

    fn end_of(&self, start: Timestamp) -> Option<Timestamp> {
        start.checked_add(SignedDuration::try_from_secs_f64(self.duration.get()).ok()?).ok()
    }

    /// The instants at which the clock shows a time, the earlier first; a skipped one is where the clock goes on.
    fn instants(&self, civil: DateTime) -> [Option<Timestamp>; 2] {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok();
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Fold { before, after } => [at(before), at(after)],
            AmbiguousOffset::Gap { after, .. } => {
                // With the offset from after the change it would be before it: the change is the next one from there.
                let change = at(after).and_then(|early| self.zone.following(early).next()).map(|t| t.timestamp());
                [change, None]
            }
        }
    }

    /// How far the clock was set back around here; what it shows now it shows, or has shown, twice.
    fn fold(&self, civil: DateTime) -> SignedDuration {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Fold { before, after } => before.duration_since(after),
            _ => SignedDuration::ZERO,
        }
    }

    /// The latest start up to `now`, included.
    fn last_start(&self, now: Timestamp) -> Option<Timestamp> {
        let civil = self.on_its_clock(now).datetime();
        // In the second pass of an hour, times ahead on the clock have been already.
        let mut at = previous(&self.cron, civil.checked_add(self.fold(civil)).ok()?, true)?;
        let mut best: Option<Timestamp> = None;
        for _ in 0..MOST_STARTS {
            let past = self.instants(at).into_iter().flatten().filter(|start| *start <= now).max();
            best = best.max(past);
            if best.is_some() && at <= civil {
                break;
            }
            at = previous(&self.cron, at, false)?;
        }
        best
    }

    /// The earliest start after `now`.
    fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        let civil = self.on_its_clock(now).datetime();
        // In the first pass of an hour, times behind on the clock will be once more.
        let mut at = next(&self.cron, civil.checked_sub(self.fold(civil)).ok()?, false)?;
        let mut best: Option<Timestamp> = None;
        for _ in 0..MOST_STARTS {
            let ahead = self.instants(at).into_iter().flatten().filter(|start| *start > now).min();
            best = match (best, ahead) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if best.is_some() && at > civil {
                break;
            }
            at = next(&self.cron, at, false)?;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone: &str, hours: f64) -> Schedule {
        let (cron, zone) = (parse_cron(cron).expect("a cron expression"), parse_zone(zone).expect("a time zone"));
        Schedule::new(cron, zone, Seconds(3600.0 * hours), Replicas(10))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn the_time_from_start_to_end_is_one_time_or_none() {
        let hours = |start, end| time_between(start, end).map(|lasts| lasts.get() / 3600.0);
        assert_eq!(hours("0 8 * * 1-5", "0 18 * * 1-5"), Ok(10.0));
        assert_eq!(hours("30 22 * * *", "0 6 * * *"), Ok(7.5));
        assert_eq!(hours("0 8 * * 1", "0 18 * * 5"), Ok(106.0));
        // From Friday evening it lasts over the weekend.
        let uneven = hours("0 20 * * 1-5", "0 6 * * 1-5").expect_err("not one time");
        assert!(uneven.contains("not always equally long"), "{uneven}");
        assert!(hours("0 8 * *", "0 18 * * *").is_err_and(|why| why.contains("five fields")));
    }

    /// What a week's every minute should be: the window of any start that any minute before was one.
    fn minutes_agree(schedule: &Schedule, from: &str, days: i64, starts_at: impl Fn(&Zoned) -> bool) {
        let (begin, minute) = (at(from), SignedDuration::from_mins(1));
        let length = SignedDuration::try_from_secs_f64(schedule.duration.get()).expect("a duration");
        let mut last_start: Option<Timestamp> = None;
        let mut now = begin - SignedDuration::from_hours(48);
        let end = begin + SignedDuration::from_hours(24 * days);
        while now < end {
            if starts_at(&schedule.on_its_clock(now)) {
                last_start = Some(now);
            }
            if now >= begin {
                let expected = last_start.map(|s| (s, s + length)).filter(|w| now < w.1);
                assert_eq!(schedule.window(now), expected, "{now}");
                if let Some((next, _)) = schedule.next_window(now) {
                    assert!(next > now, "{now}");
                    let just_before = schedule.window(next - minute).map(|w| w.0);
                    assert!(just_before.is_none_or(|s| s <= now), "{now}: a start between it and {next}");
                    assert_eq!(schedule.window(next).map(|w| w.0), Some(next), "{now}");
                }
            }
            now += minute;
        }
    }

    #[test]
    fn every_minute_of_the_weeks_in_which_clocks_change() {
        // Clocks of Paris go from 02:00 to 03:00 on 29 March 2026 and from 03:00 to 02:00 on 25 October 2026.
        for week in ["2026-03-26T00:00:00Z", "2026-10-22T00:00:00Z"] {
            let office = schedule("0 8 * * 1-5", "Europe/Paris", 10.0);
            minutes_agree(&office, week, 7, |z| {
                z.hour() == 8 && z.minute() == 0 && z.weekday().to_monday_one_offset() < 6
            });
            let often = schedule("*/20 * * * *", "Europe/Paris", 0.25);
            minutes_agree(&often, week, 7, |z| z.minute() % 20 == 0);
            let always = schedule("* * * * *", "Europe/Paris", 1.0 / 60.0);
            minutes_agree(&always, week, 5, |_| true);
            // A start inside the hour that is skipped, or comes twice.
            let night = schedule("30 2 * * *", "Europe/Paris", 8.0);
            let skipped = |z: &Zoned| z.date() == jiff::civil::date(2026, 3, 29) && z.hour() == 3 && z.minute() == 0;
            minutes_agree(&night, week, 7, |z| (z.hour() == 2 && z.minute() == 30) || skipped(z));
        }
    }

    #[test]
    fn a_window_lasts_as_long_as_it_says_across_a_change() {
        let night = schedule("0 22 * * 6", "Europe/Paris", 10.0);
        let start = at("2026-03-28T21:00:00Z");
        assert_eq!(night.window(start), Some((start, at("2026-03-29T07:00:00Z"))));
        assert_eq!(night.window(at("2026-03-29T07:00:00Z")), None, "the end is not in it");
        assert_eq!(night.next_window(start), Some((at("2026-04-04T20:00:00Z"), at("2026-04-05T06:00:00Z"))));
    }

    #[test]
    fn it_reads_back_what_it_writes_and_refuses_what_never_comes() {
        let office = schedule("0 8 * * 1-5", "Europe/Paris", 10.0);
        let text = serde_json::to_string(&office).expect("JSON");
        assert_eq!(text, r#"{"cron":"0 8 * * 1-5","timeZone":"Europe/Paris","duration":36000.0,"minReplicas":10}"#);
        assert_eq!(serde_json::from_str::<Schedule>(&text).expect("a schedule"), office);
        assert!(serde_json::from_str::<Schedule>(&text.replace("Paris", "Pariss")).is_err());
        for (text, expected) in [
            ("0 0 30 2 *", "never comes"),
            ("@annually", "five fields"),
            ("0 0 8 * * 1", "5 fields"),
            ("0 25 * * *", "not a cron expression ("),
        ] {
            let refusal = parse_cron(text).expect_err("it is refused");
            assert!(refusal.contains(expected), "{refusal}");
        }
        assert!(parse_cron("0 0 29 2 *").is_ok());
    }
}
