//! The fight: every case ends as it is known to, and what is printed, drawn and documented is what was played.
//!
//! After a change that is meant: `BLESS=1 cargo test --test fight`, look at the pictures in `docs/fight`, read the
//! difference.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, sync::LazyLock};

use arbiter::simulate::fight::{CASES, Course, play, plots, table, text};

static COURSES: LazyLock<Vec<Course>> = LazyLock::new(|| CASES.iter().map(play).collect());

fn course(key: &str) -> &'static Course {
    COURSES.iter().find(|course| course.case.key == key).expect("there is such a case")
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Compares with what is checked in.
fn golden(name: &str, actual: &str) {
    let path = docs("fight").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(actual, expected, "differs from {}; BLESS=1 accepts it", path.display());
}

/// Settled states as replicas and millicores.
fn rungs(key: &str) -> Vec<(u32, i32)> {
    let millicores = |request: f64| format!("{:.0}", request * 1000.0).parse().expect("a whole number");
    course(key).rungs().iter().map(|rung| (rung.replicas, millicores(rung.request))).collect()
}

#[test]
fn every_case_ends_as_it_is_known_to() {
    let ending = |course: &Course| (course.case.key, course.class);
    let known: Vec<_> = CASES.iter().map(|case| (case.key, case.expected)).collect();
    assert_eq!(COURSES.iter().map(ending).collect::<Vec<_>>(), known);
}

#[test]
fn the_simulated_pair_climbs_the_measured_ladder() {
    let measured = [(8, 1000), (10, 587), (12, 476), (14, 410), (17, 350), (21, 271)];
    assert_eq!(rungs("M")[..measured.len()], measured);
    assert_eq!(rungs("M'")[..5], measured[..5]);
    // One round: 1.2 times the pods, 0.83 times the request.
    let steps = measured[1..].windows(2);
    for step in steps {
        let (pods, request) =
            (f64::from(step[1].0) / f64::from(step[0].0), f64::from(step[1].1) / f64::from(step[0].1));
        assert!((1.1..=1.3).contains(&pods) && (0.75..=0.9).contains(&request), "{step:?}");
    }
    assert_eq!((course("M").evictions, course("M'").resizes), (0, 0));
    assert!(course("M'").evictions >= 40, "{}", course("M'").evictions);
}

#[test]
fn with_all_defaults_a_round_takes_days() {
    let starts: Vec<f64> = course("D").rungs().iter().map(|rung| rung.at / 86_400.0).collect();
    // Rungs before are the answer to VPA's arrival; later ones are finer than a round, where buckets are coarse.
    let rounds: Vec<f64> = starts[3..8].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(rounds.iter().all(|days| (2.5..=3.5).contains(days)), "{starts:?}");
}

#[test]
fn a_queue_swings_below_the_threshold_and_settles_above() {
    assert!(course("K1").reversals_per_hour() > 20.0);
    assert_eq!((course("K2").span(), course("K3").span()), ((10, 10), (8, 11)));
}

#[test]
fn half_of_two_whole_answers_is_too_much() {
    let most = course("H").most_offered();
    assert!((8.5..9.5).contains(&most), "{most} cores for a need of 5");
}

#[test]
fn what_is_checked_in_is_what_was_played() {
    golden("fight.txt", &text(&COURSES));
    for (name, picture) in plots(&COURSES) {
        golden(&name, &picture);
    }
}

#[test]
fn the_page_shows_every_case_and_the_table() {
    let page = fs::read_to_string(docs("fight.md")).expect("the page is there");
    assert!(page.contains(&table(&COURSES)), "docs/fight.md does not show this table:\n{}", table(&COURSES));
    for case in &CASES {
        assert!(page.contains(&format!("(fight/{}.svg)", case.file)), "docs/fight.md does not show {}.svg", case.file);
    }
}

#[cfg(feature = "page")]
#[test]
fn the_command_prints_and_writes_the_same() {
    let out = tempfile::tempdir().expect("a temporary directory");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_arbiter"))
        .args(["demo", "--fight", "--out"])
        .arg(out.path())
        .output()
        .expect("the binary was built for this test");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    golden("fight.txt", &text(&output.stdout));
    let mut written: Vec<String> = Vec::new();
    for entry in fs::read_dir(out.path()).expect("it was made") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        golden(&name, &fs::read_to_string(&path).expect("it can be read"));
        written.push(name);
    }
    assert_eq!(written.len(), CASES.len() + 1);
}
