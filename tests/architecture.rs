//! The walls of the house, checked as text: what cargo features cannot see.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms that may neither await, nor read a clock, nor know a client.
const PURE_ROOMS: [&str; 7] =
    ["src/units", "src/api", "src/policy", "src/decide", "src/takeover", "src/simulate", "src/report"];

/// What only `observe`, `actuate`, `controller`, `serve` and `cli` may name.
const IMPURE_WORDS: [&str; 9] = [
    "tokio::",
    "async fn",
    ".await",
    "kube::Client",
    "reqwest",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "thread_rng",
];

/// A file is one idea; past this it is two.
const MAX_LINES: usize = 600;

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|x| x == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn pure_rooms_neither_await_nor_read_a_clock() {
    let mut found = Vec::new();
    for room in PURE_ROOMS {
        let files = rust_files(&root().join(room));
        assert!(!files.is_empty(), "{room} has no files");
        for file in files {
            for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE_WORDS.iter().filter(|word| code.contains(**word)) {
                    found.push(format!("{}:{}: {word}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "a pure room does I/O or reads a clock:\n{}", found.join("\n"));
}

#[test]
fn the_simulated_plant_shares_nothing_with_the_model() {
    for file in rust_files(&root().join("src/simulate")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let calls_the_model = text.contains("decide::decide") || text.contains("decide::Memory");
        assert!(
            !calls_the_model || name == "controllers.rs" || name == "arbiter.rs",
            "{name} calls the decision model; only the controller under test may"
        );
    }
}

#[test]
fn a_file_is_one_idea() {
    for dir in ["src", "tests", "benches"] {
        for file in rust_files(&root().join(dir)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines, more than {MAX_LINES}", file.display());
        }
    }
}
