//! Rivals against what they imitate: recorded answers of the upstream code, case by case.
//!
//! Every `*.jsonl` and `*.jsonl.gz` in `tests/rivals/corpora` and in the directory that `RIVAL_CORPORA` names is replayed;
//! what a file's lines mean is decided by its name. All cases must agree exactly (real numbers: 1e-6 relative). A file
//! that no module knows fails, and so does a run without cases.

mod hpa;
mod vpa;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

/// Differences that are printed for a file; the others are counted.
const SHOWN: usize = 10;

/// A kind of recorded answers.
struct Corpus {
    /// File name without its extensions.
    name: &'static str,
    /// Replays one line; an error when it cannot be read.
    replay: fn(&str) -> Result<Tally, String>,
}

/// What came out of cases.
#[derive(Debug, Default)]
struct Tally {
    /// Cases that were compared.
    run: usize,
    /// Cases flagged `extreme` that were left out.
    left_out: usize,
    /// What differs, a sentence for each differing case.
    differences: Vec<String>,
}

impl Tally {
    /// Counts a case; `difference` tells how it differs.
    fn case(&mut self, difference: Option<String>) {
        self.run += 1;
        self.differences.extend(difference);
    }

    fn add(&mut self, other: Self) {
        self.run += other.run;
        self.left_out += other.left_out;
        self.differences.extend(other.differences);
    }

    fn agreed(&self) -> usize {
        self.run - self.differences.len()
    }
}

/// Files of corpora in a directory, by name.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", directory.display()))?.path();
        if name_of(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A corpus file's name without extensions; none for other files.
fn name_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".jsonl")
}

/// Lines of a file, unpacked if need be.
fn lines_of(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let content: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(content).lines())
}

/// Replays a file.
fn replay(path: &Path) -> Result<Tally, String> {
    let name = name_of(path).ok_or_else(|| format!("{}: not a corpus", path.display()))?;
    let mut known = hpa::CORPORA.iter().chain(vpa::CORPORA);
    let corpus = known.find(|corpus| corpus.name == name).ok_or_else(|| {
        format!("{}: no module knows this corpus; add it to tests/rivals or take the file away", path.display())
    })?;
    let mut tally = Tally::default();
    for (number, line) in lines_of(path)?.enumerate() {
        let at = |problem: &dyn std::fmt::Display| format!("{}:{}: {problem}", path.display(), number + 1);
        let line = line.map_err(|error| at(&error))?;
        let mut case = (corpus.replay)(&line).map_err(|problem| at(&problem))?;
        case.differences.iter_mut().for_each(|difference| *difference = at(difference));
        tally.add(case);
    }
    if tally.run == 0 {
        return Err(format!("{}: no case was compared", path.display()));
    }
    Ok(tally)
}

/// Replays all files of directories, writes a line for each and fails with all problems.
fn replay_all(directories: &[PathBuf], out: &mut dyn Write) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut files = 0;
    for directory in directories {
        for path in files_in(directory)? {
            files += 1;
            match replay(&path) {
                Err(problem) => problems.push(problem),
                Ok(tally) => {
                    let (agreed, run) = (tally.agreed(), tally.run);
                    writeln!(
                        out,
                        "{}: {agreed} of {run} cases agree, {} extreme left out",
                        path.display(),
                        tally.left_out
                    )
                    .map_err(|error| error.to_string())?;
                    problems.extend(tally.differences.iter().take(SHOWN).cloned());
                    if tally.differences.len() > SHOWN {
                        problems.push(format!("{}: and {} more", path.display(), tally.differences.len() - SHOWN));
                    }
                }
            }
        }
    }
    if files == 0 {
        problems.push("no corpus was found".to_owned());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rivals/corpora")
}

#[test]
fn rivals_answer_as_upstream_does() {
    let mut directories = vec![shipped()];
    directories.extend(std::env::var_os("RIVAL_CORPORA").map(PathBuf::from));
    // Written past the harness's capture: the numbers are what this test is run for.
    if let Err(problems) = replay_all(&directories, &mut std::io::stdout()) {
        panic!("{problems}");
    }
}

#[test]
fn an_unknown_corpus_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(directory.path().join("hpa_of_tomorrow.jsonl"), "{}\n").expect("a file can be written");
    let problems = replay_all(&[directory.path().to_owned()], &mut std::io::sink()).expect_err("nobody knows it");
    assert!(problems.contains("hpa_of_tomorrow.jsonl: no module knows this corpus"), "{problems}");
}

#[test]
fn a_run_without_cases_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let run = || replay_all(&[directory.path().to_owned()], &mut std::io::sink()).expect_err("there are no cases");
    assert_eq!(run(), "no corpus was found");
    std::fs::write(directory.path().join("hpa_replicas.jsonl"), "").expect("a file can be written");
    assert!(run().ends_with("no case was compared"));
    assert!(replay_all(&[directory.path().join("absent")], &mut std::io::sink()).is_err());
}

#[test]
fn a_wrong_answer_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let sample = lines_of(&shipped().join("hpa_replicas.jsonl.gz")).expect("the sample is shipped").next();
    let line = sample.expect("it has a line").expect("it can be read");
    let wrong = line.replace("\"expect\":{\"replicas\":", "\"expect\":{\"replicas\":9");
    std::fs::write(directory.path().join("hpa_replicas.jsonl"), wrong).expect("a file can be written");
    let problems = replay_all(&[directory.path().to_owned()], &mut std::io::sink()).expect_err("it differs");
    assert!(problems.contains("hpa_replicas.jsonl:1: "), "{problems}");
}
