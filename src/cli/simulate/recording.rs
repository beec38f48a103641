//! `--recording DIR`: reads the directory, fits the service, and refuses what the plant cannot reproduce.

use std::{collections::BTreeMap, fs, path::Path};

use super::{super::Failure, Args, Format};
use crate::{
    simulate::{
        Scenario, SimulateError, TraceOptions, calibration,
        recording::{self, Kind, MANIFEST, Recording},
    },
    units::{Cores, Seconds},
};

/// Names and values of a calibration.
type Rows = Vec<(String, String)>;

/// The scenario of a recording, and in words how well the plant reproduces it, which is printed before anything is compared.
pub(super) fn scenarios(directory: &Path, args: &Args) -> Result<(Vec<Scenario>, Rows), Failure> {
    let shown = directory.display();
    let options = TraceOptions {
        peak_cores: Cores(args.peak_cores),
        warmup: Seconds(args.warmup.as_secs_f64()),
        policy: args.policy.as_deref().map(super::super::validate::only_policy).transpose()?,
        prices: args.prices.as_deref().map(super::scenarios::prices).transpose()?,
    };
    let recording = read(directory)?;
    let name = directory.file_name().map_or_else(|| "recording".to_owned(), |name| name.to_string_lossy().into_owned());
    let scenario = calibration::scenario(&recording, &name, options).map_err(input)?;
    if scenario.warmup >= scenario.duration {
        let hours = scenario.duration.get() / 3600.0;
        let what = format!("{shown}: --warmup leaves nothing to score of {hours:.0} h; make it shorter");
        return Err(Failure::Input(what));
    }
    let calibration = calibration::calibrate(&recording, &scenario);
    if let Some(why) = calibration.refusal() {
        return Err(Failure::Input(format!("{shown}: not compared: {why}")));
    }
    let rows = calibration.rows();
    if args.output == Format::Table {
        let lines: String = rows.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
        super::super::print(&format!("How well the plant reproduces the recording\n{lines}\n"))?;
    }
    Ok((vec![scenario], rows))
}

fn read(directory: &Path) -> Result<Recording, Failure> {
    let shown = directory.display();
    let path = directory.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::Input(format!(
            "{shown}: no {MANIFEST} can be read there ({error}); give the --out directory of a finished `arbiter record`"
        ))
    })?;
    let manifest = recording::manifest(&path.display().to_string(), &text).map_err(input)?;
    let mut series = BTreeMap::new();
    for kind in Kind::ALL.into_iter().filter(|kind| manifest.rows.get(kind).is_some_and(|rows| *rows > 0)) {
        let path = directory.join(kind.file());
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::Input(format!("{name}: cannot be read: {error}; the manifest names it, record again"))
        })?;
        series.insert(kind, recording::samples(&name, kind, &text).map_err(input)?);
    }
    Ok(Recording { manifest, series })
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn input(error: SimulateError) -> Failure {
    Failure::Input(error.to_string())
}
