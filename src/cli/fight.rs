//! `arbiter demo --fight`: why an HPA and a VPA (or a queue and its scaler) fight over one workload, played in seconds.

use std::{fs, path::Path, process::ExitCode};

use super::{Failure, print, progress, staged::Staged};
use crate::simulate::fight::{CASES, Course, play, plots, text};

/// Plays every case, prints what became of them, and writes the pictures if a directory is given.
pub(super) fn run(out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let bar = progress::bar(CASES.len() as u64);
    let mut courses: Vec<Course> = Vec::with_capacity(CASES.len());
    for case in &CASES {
        bar.set_message(format!("case {}", case.key));
        courses.push(play(case));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let text = text(&courses);
    if let Some(out) = out {
        fs::create_dir_all(out).map_err(|error| {
            Failure::Environment(format!("{}: cannot be made: {error}; choose another --out", out.display()))
        })?;
        for (name, content) in plots(&courses).into_iter().chain([("fight.txt".to_owned(), text.clone())]) {
            let mut file = Staged::create(&out.join(name))?;
            file.write(content.as_bytes())?;
            file.publish()?;
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
