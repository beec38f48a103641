//! Plays a recorded HPA again through the simulator's one and prints how far apart the counts are.
//!
//! `cargo run --example hpa-replay -- FILE.csv TARGET_PERCENT MIN MAX [SPREAD]`: a CSV with the columns `timestamp_s`,
//! `replicas` and `cpu_util_pct`. A recording does not say when in its 15 s the HPA looked: all phases are tried, 1 s
//! apart. `SPREAD`: what was recorded over the mean of the pods, where there are several (a recorded high percentile).

use std::io::Write as _;

use anyhow::{Context as _, bail};
use arbiter::simulate::rivals::hpa::{
    normalise::Bounds,
    replay::{Distance, Question, Recorded, Setting, replay},
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, target, min, max, spread @ ..] = arguments.as_slice() else {
        bail!("usage: hpa-replay FILE.csv TARGET_PERCENT MIN MAX [SPREAD]");
    };
    let spread = match spread {
        [] => 1.0,
        [spread] => spread.parse::<f64>().with_context(|| format!("`{spread}` is no number"))?,
        _ => bail!("too many arguments"),
    };
    let mut recording = read(file)?;
    for row in recording.iter_mut().filter(|row| row.replicas > 1) {
        row.percent = row.percent.map(|percent| percent / spread);
    }
    let number = |text: &String| text.parse::<i32>().with_context(|| format!("`{text}` is no whole number"));
    let (target_percent, bounds) = (number(target)?, Bounds { min: number(min)?, max: number(max)? });
    let mut out = std::io::stdout().lock();
    writeln!(out, "| question | looks | same count | mean error, replicas | bias, replicas | worst, replicas |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (question, name) in [(Question::NextStep, "next step"), (Question::Alone, "alone")] {
        let at = |phase| replay(&recording, Setting { target_percent, bounds, phase }, question);
        let all = (0..15).map(|second| at(f64::from(second))).fold(Distance::default(), Distance::with);
        if all.looks == 0 {
            bail!("{file}: no look fits into the recording");
        }
        let looks = f64::from(all.looks);
        let share = 100.0 * f64::from(all.same) / looks;
        writeln!(
            out,
            "| {name} | {} | {share:.1} % | {:.3} | {:+.3} | {} |",
            all.looks,
            all.sum / looks,
            all.bias / looks,
            all.worst
        )?;
    }
    Ok(())
}

fn read(file: &str) -> anyhow::Result<Vec<Recorded>> {
    let mut reader = csv::Reader::from_path(file).with_context(|| file.to_owned())?;
    let headers = reader.headers().with_context(|| file.to_owned())?.clone();
    let column = |name: &str| {
        headers.iter().position(|header| header == name).with_context(|| format!("{file}: no column `{name}`"))
    };
    let (at, replicas, percent) = (column("timestamp_s")?, column("replicas")?, column("cpu_util_pct")?);
    let mut rows: Vec<Recorded> = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| file.to_owned())?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| -> anyhow::Result<Option<f64>> {
            let text = record.get(column).unwrap_or_default();
            let number = || text.parse().with_context(|| format!("{file}:{line}: `{text}` is no number"));
            if text.is_empty() { Ok(None) } else { number().map(Some) }
        };
        let needed = |column| cell(column)?.with_context(|| format!("{file}:{line}: a cell is empty"));
        let row = Recorded { at: needed(at)?, replicas: whole(needed(replicas)?), percent: cell(percent)? };
        if rows.last().is_some_and(|last| last.at >= row.at) {
            bail!("{file}:{line}: time does not go forward");
        }
        rows.push(row);
    }
    Ok(rows)
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and a count is small")]
fn whole(number: f64) -> i32 {
    number.round() as i32
}
