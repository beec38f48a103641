//! Recorded load: reads a trace and says what is wrong with one, by line.
//!
//! Shape: a CSV with the header `timestamp_s,METRIC,…`; the load is the first of `rps`, `arrivals` (count per step) and
//! `cpu_cores` that is present, or the column that is named. An empty cell is a gap in the *signal*: the work went on
//! (it is bridged linearly), but a controller did not see it.
//!
//! Must not open files: the command line hands in a reader and the name for messages.

use std::io::Read;

use super::SimulateError;

/// Columns that are a load, in order of preference.
const LOAD_COLUMNS: [&str; 3] = ["rps", "arrivals", "cpu_cores"];
/// The column that is a count per step instead of a rate.
const COUNT_COLUMN: &str = "arrivals";
/// A row that comes this many usual steps after the one before is a hole in the recording.
const HOLE_STEPS: f64 = 3.0;

/// One recorded load. Only its shape counts: it is rescaled to a chosen peak.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Name in reports: the file's name without its extension.
    pub name: String,
    /// Samples, strictly ascending in time.
    pub(super) samples: Vec<Sample>,
    /// Usual step, in seconds.
    pub(super) step: f64,
}

/// One sample of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Seconds from the first sample.
    pub(super) at: f64,
    /// Rate, in the recording's unit.
    pub(super) rate: f64,
    /// Whether nothing was recorded from here to the next sample.
    pub(super) missing: bool,
}

impl Load {
    /// Reads a trace. `file` names it in messages; its stem becomes the load's name. `column` chooses a load column.
    pub fn read(file: &str, reader: impl Read, column: Option<&str>) -> Result<Self, SimulateError> {
        let at = |line: u64, problem: String| SimulateError::Trace { file: file.to_owned(), line, problem };
        let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
        let header = csv.headers().map_err(|error| at(1, format!("cannot be read as CSV: {error}")))?.clone();
        let columns = Columns::find(&header, column).map_err(|problem| at(1, problem))?;
        let mut rows: Vec<(f64, Option<f64>)> = Vec::new();
        for record in csv.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(0, csv::Position::line);
                at(line, format!("cannot be read as CSV: {error}"))
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = columns.parse(&record, rows.last().map(|row| row.0)).map_err(|problem| at(line, problem))?;
            rows.push(row);
        }
        let lines = rows.len() as u64 + 1;
        let samples_with_load = rows.iter().filter(|row| row.1.is_some()).count();
        if samples_with_load < 2 {
            let problem = format!(
                "has {samples_with_load} rows with a value in `{}`; a load needs at least two",
                columns.load_name
            );
            return Err(at(lines, problem));
        }
        let stem = file.rsplit('/').next().unwrap_or(file);
        let name = stem.strip_suffix(".csv").unwrap_or(stem).to_owned();
        let load = Self::from_rows(name, &rows, columns.load_name == COUNT_COLUMN);
        if load.samples.iter().all(|sample| sample.rate <= 0.0) {
            let problem = format!("`{}` is zero on every line; give a column that carries load", columns.load_name);
            return Err(at(lines, problem));
        }
        Ok(load)
    }

    /// Length of the recording, in seconds: the last sample lasts one step too.
    pub fn length_seconds(&self) -> f64 {
        self.samples.last().map_or(0.0, |sample| sample.at) + self.step
    }

    fn from_rows(name: String, rows: &[(f64, Option<f64>)], counts: bool) -> Self {
        let origin = rows.first().map_or(0.0, |row| row.0);
        let mut steps: Vec<f64> = rows.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        steps.sort_by(f64::total_cmp);
        let step = steps.get(steps.len() / 2).copied().unwrap_or(1.0);
        let length_of = |row: usize| match rows.get(row + 1) {
            // A count after which the recording has a hole covers one usual step, not the hole.
            Some(next) if next.0 - rows[row].0 <= HOLE_STEPS * step => next.0 - rows[row].0,
            _ => step,
        };
        let rates: Vec<Option<f64>> = rows
            .iter()
            .enumerate()
            .map(|(row, (_, value))| value.map(|value| if counts { value / length_of(row) } else { value }))
            .collect();
        let hole = |row: usize| rows.get(row + 1).is_some_and(|next| next.0 - rows[row].0 > HOLE_STEPS * step);
        let samples = rows
            .iter()
            .enumerate()
            .map(|(row, (at, value))| Sample {
                at: at - origin,
                rate: rates[row].unwrap_or_else(|| bridged(rows, &rates, row)),
                missing: value.is_none() || hole(row),
            })
            .collect();
        Self { name, samples, step }
    }
}

/// The rate at a row without one: linear between the nearest rows that have one, constant beyond the ends.
fn bridged(rows: &[(f64, Option<f64>)], rates: &[Option<f64>], row: usize) -> f64 {
    let before = (0..row).rev().find_map(|i| rates[i].map(|rate| (rows[i].0, rate)));
    let after = (row + 1..rows.len()).find_map(|i| rates[i].map(|rate| (rows[i].0, rate)));
    match (before, after) {
        (Some((t0, y0)), Some((t1, y1))) => y0 + (y1 - y0) * (rows[row].0 - t0) / (t1 - t0),
        (Some((_, y)), None) | (None, Some((_, y))) => y,
        (None, None) => 0.0,
    }
}

/// Where the two columns stand.
struct Columns {
    time: usize,
    load: usize,
    load_name: String,
}

impl Columns {
    fn find(header: &csv::StringRecord, wanted: Option<&str>) -> Result<Self, String> {
        let position = |name: &str| header.iter().position(|column| column.trim() == name);
        let names = || header.iter().map(str::trim).collect::<Vec<_>>().join(", ");
        let time = position("timestamp_s").ok_or_else(|| {
            format!("no column `timestamp_s` among `{}`; the header must be `timestamp_s,METRIC,…`", names())
        })?;
        let load_name = match wanted {
            Some(name) => name,
            None => LOAD_COLUMNS.into_iter().find(|name| position(name).is_some()).ok_or_else(|| {
                format!("none of the columns `{}` is rps, arrivals or cpu_cores; name one with --load-column", names())
            })?,
        };
        let load =
            position(load_name).ok_or_else(|| format!("no column `{load_name}`; the columns are `{}`", names()))?;
        Ok(Self { time, load, load_name: load_name.to_owned() })
    }

    /// Time and load of a row; an empty load cell is `None`.
    fn parse(&self, record: &csv::StringRecord, last: Option<f64>) -> Result<(f64, Option<f64>), String> {
        let cell = |column: usize| record.get(column).map_or("", str::trim);
        let number = |name: &str, text: &str| match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("`{name}` is `{text}`, which is not a number; correct the cell or leave it empty")),
        };
        let time = cell(self.time);
        if time.is_empty() {
            return Err("`timestamp_s` is empty; every row needs its time".to_owned());
        }
        let time = number("timestamp_s", time)?;
        if let Some(last) = last.filter(|last| time <= *last) {
            return Err(format!("`timestamp_s` {time} does not come after {last}; sort the rows and drop duplicates"));
        }
        let load = cell(self.load);
        if load.is_empty() {
            return Ok((time, None));
        }
        let value = number(&self.load_name, load)?;
        if value < 0.0 {
            return Err(format!("`{}` is {value}; a load is never negative, leave the cell empty", self.load_name));
        }
        Ok((time, Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Load, String> {
        Load::read("traces/x.csv", text.as_bytes(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn a_missing_cell_is_a_gap_in_the_signal_and_not_zero_load() {
        let load = read("timestamp_s,rps\n0,10\n60,\n120,30\n180,40\n").unwrap();
        assert_eq!(load.name, "x");
        assert_eq!(load.samples[1], Sample { at: 60.0, rate: 20.0, missing: true });
        assert!(!load.samples[2].missing);
        assert_eq!(load.length_seconds(), 240.0);
    }

    #[test]
    fn a_jump_in_time_is_a_gap_too() {
        let load = read("timestamp_s,rps\n0,10\n60,10\n120,10\n900,10\n960,10\n").unwrap();
        assert_eq!(load.samples.iter().map(|s| s.missing).collect::<Vec<_>>(), [false, false, true, false, false]);
    }

    #[test]
    fn counts_become_rates_and_rps_comes_first() {
        let load = read("timestamp_s,arrivals\n0,60\n60,120\n120,6\n").unwrap();
        assert_eq!(load.samples.iter().map(|s| s.rate).collect::<Vec<_>>(), [1.0, 2.0, 0.1]);
        let load = read("timestamp_s,cpu_cores,rps\n0,1,5\n60,1,6\n").unwrap();
        assert_eq!(load.samples[0].rate, 5.0);
    }

    #[test]
    fn what_is_wrong_is_said_by_line_with_what_to_do() {
        for (text, expected) in [
            ("", "x.csv:1: no column `timestamp_s`"),
            ("time,rps\n0,1\n", "x.csv:1: no column `timestamp_s` among `time, rps`"),
            ("timestamp_s,cpu\n0,1\n", "x.csv:1: none of the columns `timestamp_s, cpu` is rps"),
            ("timestamp_s,rps\n0,1\n0,2\n", "x.csv:3: `timestamp_s` 0 does not come after 0; sort"),
            ("timestamp_s,rps\n0,1\n5,-2\n", "x.csv:3: `rps` is -2; a load is never negative"),
            ("timestamp_s,rps\n0,1\n5,many\n", "x.csv:3: `rps` is `many`, which is not a number"),
            ("timestamp_s,rps\n0,1\n5,NaN\n", "x.csv:3: `rps` is `NaN`, which is not a number"),
            ("timestamp_s,rps\n0,1\n,2\n", "x.csv:3: `timestamp_s` is empty"),
            ("timestamp_s,rps\n0,1\n", "x.csv:2: has 1 rows with a value in `rps`"),
            ("timestamp_s,rps\n0,0\n5,0\n", "x.csv:3: `rps` is zero on every line"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
        let unknown = Load::read("x.csv", &b"timestamp_s,rps\n0,1\n"[..], Some("qps")).unwrap_err().to_string();
        assert_eq!(unknown, "x.csv:1: no column `qps`; the columns are `timestamp_s, rps`");
    }
}
