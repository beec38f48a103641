//! Recorded load: reads a trace and says what is wrong with one, by line.
//!
//! Shape: a CSV with the header `timestamp_s,METRIC,…`; the load is the first of `rps`, `arrivals` (count per step) and
//! `cpu_cores` that is present, or the column that is named. An empty cell is a gap in the *signal*: the work went on
//! (it is bridged linearly), but a controller did not see it.
//!
//! What is kept is one sample per step of the plant, so memory is bounded by the time that a file covers, not by its size.
//!
//! Must not open files: the command line hands in a reader and the name for messages.

use std::io::Read;

use super::{STEP_SECONDS, SimulateError};

/// Columns that are a load, in order of preference.
const LOAD_COLUMNS: [&str; 3] = ["rps", "arrivals", "cpu_cores"];
/// The column that is a count per step instead of a rate.
const COUNT_COLUMN: &str = "arrivals";
/// A row that comes this many usual steps after the one before is a hole in the recording.
const HOLE_STEPS: f64 = 3.0;

/// The usual step of a recording is the median over this many rows.
const FIRST_ROWS: usize = 4096;
/// Rows that are closer than this are the same row twice; at today's Unix time a number tells a quarter of it.
const SHORTEST_STEP: f64 = 1e-6;
/// No machine has a larger load: sums and rates of it stay numbers.
const LARGEST_LOAD: f64 = 1e15;
/// A recording is refused where it passes this: what is kept of it grows with its length, not with its bytes.
const LONGEST_SECONDS: f64 = 400.0 * 86_400.0;
/// A line longer than this is not a line of a table.
const LONGEST_LINE: usize = 1 << 16;

/// One load: recorded, of which only the shape counts (it is rescaled to a chosen peak), or made of cores of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Name in reports: the file's name without its extension.
    pub name: String,
    /// Samples, strictly ascending in time, at most one in a step of the plant.
    pub(crate) samples: Vec<Sample>,
    /// Length in seconds; the last row lasts one usual step too.
    pub(super) seconds: f64,
    /// Whether rates are cores of work already.
    pub(super) in_cores: bool,
    /// Whether a sample holds until the next one; otherwise the load goes in straight lines between them.
    pub(super) held: bool,
    /// Deviation of the noise on it; none: what is usual between the samples of a recording.
    pub(super) noise: Option<f64>,
}

/// One sample of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Seconds from the first sample.
    pub(crate) at: f64,
    /// Rate, in the recording's unit.
    pub(crate) rate: f64,
    /// Whether nothing was recorded from here to the next sample.
    pub(super) missing: bool,
}

impl Load {
    /// The same load under another name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Reads a trace, row by row: what is kept is bounded by the time it covers. `file` names it in messages; its stem
    /// becomes the load's name. `column` chooses a load column.
    pub fn read(file: &str, reader: impl Read, column: Option<&str>) -> Result<Self, SimulateError> {
        let at = |line: u64, problem: String| SimulateError::Trace { file: file.to_owned(), line, problem };
        let unreadable =
            |line: u64, error: &csv::Error| at(line, format!("cannot be read as CSV: {error}; correct it"));
        let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(ShortLines { inner: reader, length: 0 });
        let header = csv.headers().map_err(|error| unreadable(1, &error))?.clone();
        let columns = Columns::find(&header, column).map_err(|problem| at(1, problem))?;
        let mut gathered = Gathered::new(columns.load_name == COUNT_COLUMN);
        let mut record = csv::StringRecord::new();
        loop {
            let line = csv.position().line();
            if !csv.read_record(&mut record).map_err(|error| unreadable(line, &error))? {
                break;
            }
            let line = record.position().map_or(line, csv::Position::line);
            let row = columns.parse(&record, gathered.last_time()).map_err(|problem| at(line, problem))?;
            gathered.row(row).map_err(|problem| at(line, problem))?;
        }
        let (lines, values) = (gathered.rows + 1, gathered.values);
        if values < 2 {
            let problem =
                format!("has {values} rows with a value in `{}`; a load needs at least two", columns.load_name);
            return Err(at(lines, problem));
        }
        let stem = file.rsplit('/').next().unwrap_or(file);
        let name = stem.strip_suffix(".csv").unwrap_or(stem).to_owned();
        let load = gathered.finish(name);
        if load.samples.iter().all(|sample| sample.rate <= 0.0) {
            let problem = format!("`{}` is zero on every line; give a column that carries load", columns.load_name);
            return Err(at(lines, problem));
        }
        Ok(load)
    }

    /// A load made of cores of work, one value per step of the plant.
    pub(super) fn of_cores(name: String, cores: impl Iterator<Item = f64>, noise: Option<f64>) -> Self {
        let sample = |(step, rate)| Sample { at: step as f64 * STEP_SECONDS, rate, missing: false };
        let samples: Vec<Sample> = cores.enumerate().map(sample).collect();
        Self { name, seconds: samples.len() as f64 * STEP_SECONDS, samples, in_cores: true, held: false, noise }
    }

    /// Length of the recording, in seconds: the last row lasts one usual step too.
    pub fn length_seconds(&self) -> f64 {
        self.seconds
    }
}

/// A row: time and load.
type Row = (f64, Option<f64>);

/// What is kept of the rows so far: one sample per step of the plant.
struct Gathered {
    counts: bool,
    origin: f64,
    rows: u64,
    values: u64,
    /// The first rows, until the usual step is known.
    first: Vec<Row>,
    usual: Option<f64>,
    last: Option<Row>,
    bins: Vec<Bin>,
}

/// Rows within a step of the plant.
struct Bin {
    at: f64,
    sum: f64,
    values: u32,
    missing: bool,
}

impl Gathered {
    fn new(counts: bool) -> Self {
        let (first, bins) = (Vec::new(), Vec::new());
        Self { counts, origin: 0.0, rows: 0, values: 0, first, usual: None, last: None, bins }
    }

    fn last_time(&self) -> Option<f64> {
        self.last.map(|row| row.0)
    }

    fn row(&mut self, row: Row) -> Result<(), String> {
        if self.rows == 0 {
            self.origin = row.0;
        }
        if row.0 - self.origin > LONGEST_SECONDS {
            return Err("is more than 400 days after the first row; cut the recording".to_owned());
        }
        self.rows += 1;
        self.values += u64::from(row.1.is_some());
        let before = self.last.replace(row);
        if let (Some(usual), Some(before)) = (self.usual, before) {
            self.keep(before, Some(row), usual);
            return Ok(());
        }
        self.first.push(row);
        if self.first.len() == FIRST_ROWS {
            self.begin();
        }
        Ok(())
    }

    /// The usual step is known now: keeps the first rows but the last one, whose length the next one tells.
    fn begin(&mut self) {
        let first = std::mem::take(&mut self.first);
        let mut steps: Vec<f64> = first.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        steps.sort_by(f64::total_cmp);
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(1.0);
        self.usual = Some(usual);
        for pair in first.windows(2) {
            self.keep(pair[0], Some(pair[1]), usual);
        }
    }

    fn keep(&mut self, (at, value): Row, next: Option<Row>, usual: f64) {
        let length = next.map_or(usual, |next| next.0 - at);
        let hole = length > HOLE_STEPS * usual;
        // A count after which the recording has a hole covers one usual step, not the hole.
        let covered = if hole { usual } else { length };
        let rate = value.map(|value| if self.counts { value / covered } else { value });
        let (at, missing) = (at - self.origin, rate.is_none() || hole);
        let (sum, values) = rate.map_or((0.0, 0), |rate| (rate, 1));
        let step = |at: f64| (at / STEP_SECONDS).floor();
        match self.bins.last_mut().filter(|bin| step(bin.at) == step(at)) {
            Some(bin) => {
                bin.sum += sum;
                bin.values += values;
                bin.missing |= missing;
            }
            None => self.bins.push(Bin { at, sum, values, missing }),
        }
    }

    fn finish(mut self, name: String) -> Load {
        if self.usual.is_none() {
            self.begin();
        }
        let step = self.usual.unwrap_or(1.0);
        if let Some(last) = self.last {
            self.keep(last, None, step);
        }
        let mut samples: Vec<Sample> = Vec::with_capacity(self.bins.len());
        let mut known: Option<usize> = None;
        for (index, bin) in self.bins.iter().enumerate() {
            let rate = if bin.values > 0 { bin.sum / f64::from(bin.values) } else { f64::NAN };
            samples.push(Sample { at: bin.at, rate, missing: bin.missing });
            if bin.values > 0 {
                bridge(&mut samples, known, index);
                known = Some(index);
            }
        }
        let last = known.map_or(0.0, |known| samples[known].rate);
        let after = known.map_or(0, |known| known + 1);
        samples[after..].iter_mut().for_each(|sample| sample.rate = last);
        let seconds = self.last.map_or(0.0, |last| last.0 - self.origin) + step;
        Load { name, samples, seconds, in_cores: false, held: false, noise: None }
    }
}

/// Fills the rates between two known ones linearly; before the first known one it is constant.
fn bridge(samples: &mut [Sample], before: Option<usize>, known: usize) {
    let to = samples[known];
    let from = before.map_or(Sample { at: f64::NEG_INFINITY, ..to }, |before| samples[before]);
    for sample in &mut samples[before.map_or(0, |before| before + 1)..known] {
        let part = if before.is_some() { (sample.at - from.at) / (to.at - from.at) } else { 1.0 };
        sample.rate = from.rate + (to.rate - from.rate) * part;
    }
}

/// Refuses lines that are too long to be lines, so that no file fills the memory.
struct ShortLines<R> {
    inner: R,
    length: usize,
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in &buffer[..read] {
            self.length = if *byte == b'\n' { 0 } else { self.length + 1 };
            if self.length > LONGEST_LINE {
                let problem = "a line is longer than 64 KiB, which no table has";
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
            }
        }
        Ok(read)
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
        if let Some(last) = last.filter(|last| time - *last < SHORTEST_STEP) {
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
        if value > LARGEST_LOAD {
            return Err(format!("`{}` is {value}, more than any load; correct the cell or its unit", self.load_name));
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
    fn what_is_kept_grows_with_time_and_not_with_rows() {
        let rows: String = (0..20_000).map(|row| format!("{:.3},{}\n", f64::from(row) * 0.01, row % 3)).collect();
        let load = read(&format!("timestamp_s,rps\n{rows}")).unwrap();
        assert_eq!(load.samples.len(), 40);
        assert!(load.samples.iter().all(|sample| (sample.rate - 1.0).abs() < 0.01));
        assert!((load.length_seconds() - 200.0).abs() < 1e-6);
        let long = read("timestamp_s,rps\n0,1\n60,1\n40000000,1\n").unwrap_err();
        assert_eq!(long, "traces/x.csv:4: is more than 400 days after the first row; cut the recording");
        let endless = format!("timestamp_s,rps\n0,1\n1,{}", "9".repeat(1 << 20));
        assert!(read(&endless).unwrap_err().contains("a line is longer than 64 KiB"));
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
            ("timestamp_s,rps\n0,1\n5,1e300\n", "x.csv:3: `rps` is 1000000"),
            ("timestamp_s,arrivals\n0,1\n1e-300,2\n", "x.csv:3: `timestamp_s` 0"),
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
