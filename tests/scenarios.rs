//! Golden scenarios: the whole standard output of the commands, compared with what is kept in `simulations/golden`.
//!
//! After a change of the model that is meant: `BLESS=1 cargo test --test scenarios`, and read the difference.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

const TRACE: &str = "simulations/traces/mongodb_rps_3d.csv";

/// Runs arbiter in the project's root with something on stdin.
fn arbiter(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_arbiter"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A process of its own may fill stdout before it has read everything: written from a thread.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("the process ends");
    // A command that refuses its arguments has closed stdin: nothing to complain about.
    drop(writer.join().expect("the thread only writes"));
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn golden(name: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, actual).expect("simulations/golden can be written");
    }
    let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text(actual), text(&expected), "differs from {}; BLESS=1 accepts it", path.display());
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn simulate_prints_the_same_whatever_the_number_of_jobs() {
    let out = tempfile::tempdir().expect("a temporary directory");
    let run = |jobs: &str, to: &Path| {
        let to = to.to_str().expect("UTF-8");
        let output =
            arbiter(&["simulate", "--trace", TRACE, "--seeds", "1", "--jobs", jobs, "--out", to, "-o", "json"], b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let (one, two) = (out.path().join("one"), out.path().join("two"));
    assert_eq!(text(&run("1", &one)), text(&run("2", &two)));
    for file in ["summary.json", "timeline.csv", "decisions.jsonl", "report.html"] {
        assert!(read(&one.join(file)) == read(&two.join(file)), "{file} depends on the number of jobs");
    }
    let names = fs::read_dir(&one).expect("the directory was made").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["decisions.jsonl", "report.html", "summary.json", "timeline.csv", "timings.json"]);
    golden("mongodb_rps_3d.summary.json", &read(&one.join("summary.json")));
}

#[test]
fn oracles_and_hindsight_do_not_depend_on_the_number_of_jobs_and_nothing_beats_the_oracle() {
    let controllers = "hpa70,static,hpa-hindsight,oracle-n,oracle,oracle-lead";
    let run = |jobs: &str| {
        let arguments = ["simulate", "--trace", TRACE, "--controllers", controllers, "--seeds", "1", "--jobs", jobs];
        let output = arbiter(&[&arguments[..], &["-o", "json"]].concat(), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let summary = run("1");
    assert_eq!(text(&summary), text(&run("2")));
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    let runs = summary["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 6);
    let ratio = |name: &str| {
        let run = runs.iter().find(|run| run["controller"] == name).expect("it was played");
        run["j_over_oracle"].as_f64().expect("there is an oracle")
    };
    for run in runs {
        assert!(run["j_over_oracle"].as_f64() >= Some(1.0), "{run}");
        assert!(run["j_over_oracle_n"].is_f64() && run["j_over_oracle_lead"].is_f64(), "{run}");
    }
    assert!(ratio("hpa-hindsight") <= ratio("hpa70"), "one of the 20 is hpa70 itself");
    assert!(ratio("oracle-n") < ratio("hpa-hindsight") && ratio("hpa70") < ratio("static"));
}

#[test]
fn simulate_prints_one_sentence_and_one_table() {
    let output =
        arbiter(&["simulate", "--trace", TRACE, "--controllers", "arbiter,hpa50,hpa70,hpa80", "--seeds", "1"], b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    golden("mongodb_rps_3d.txt", &output.stdout);
}

#[test]
fn the_policy_written_out_is_the_policy_of_a_bare_trace() {
    let policy = ["--policy", "simulations/policy.yaml"];
    let output = arbiter(&[&["simulate", "--trace", TRACE, "--seeds", "1", "-o", "json"], &policy[..]].concat(), b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    golden("mongodb_rps_3d.summary.json", &output.stdout);
}

#[test]
fn decide_answers_a_recorded_stream() {
    let golden_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/golden");
    let output = arbiter(&["decide", "--policy", "simulations/policy.yaml"], &read(&golden_dir.join("stream.jsonl")));
    assert!(output.status.success(), "{}", text(&output.stderr));
    golden("stream.decisions.jsonl", &output.stdout);
}

#[test]
fn bad_input_is_one_sentence_and_exit_2_and_leaves_nothing() {
    let out = tempfile::tempdir().expect("a temporary directory");
    let (trace, target) = (out.path().join("x.csv"), out.path().join("out"));
    fs::write(&trace, "timestamp_s,rps\n0,1\n0,2\n").expect("a file");
    let (scenario, without) = (out.path().join("s.yaml"), out.path().join("without.yaml"));
    fs::write(&scenario, "name: x\nloud: {shape: steps}\nduration: 1h\n").expect("a file");
    fs::write(&without, "name: x\nload: {trace: nowhere.csv}\nduration: 1h\n").expect("a file");
    let (trace, target) = (trace.to_str().expect("UTF-8"), target.to_str().expect("UTF-8"));
    let (scenario, without) = (scenario.to_str().expect("UTF-8"), without.to_str().expect("UTF-8"));
    for (arguments, expected) in [
        (vec!["--trace", trace, "--out", target], "x.csv:3: `timestamp_s` 0 does not come after 0"),
        (vec!["--trace", "nowhere.csv"], "nowhere.csv: cannot be opened"),
        (
            vec!["--trace", TRACE, "--controllers", "arbiter,magic"],
            "`magic` is not available; choose among arbiter, arbiter-rate, arbiter-cpu, hpa50",
        ),
        (vec!["--scenario", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (vec!["--scenario", scenario, "--out", target], "s.yaml:2: unknown field `loud`"),
        (vec!["--scenario", without, "--out", target], "nowhere.csv: cannot be opened"),
        (vec!["--scenario", scenario, "--trace", TRACE], "--trace and --scenario together"),
        (vec!["--recording", "nowhere"], "nowhere: no manifest.json can be read there"),
        (vec!["--trace", TRACE, "--warmup", "100h"], "--warmup leaves nothing to score of 72 h"),
        (vec!["--trace", TRACE, "--policy", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (vec![], "no load to replay"),
    ] {
        let output = arbiter(&[&["simulate"], arguments.as_slice()].concat(), b"");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected) && message.lines().count() == 1, "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
    }
    assert!(!Path::new(target).exists());
}

/// Plays a scenario file and compares everything that is printed.
fn scenario(name: &str) {
    let file = format!("simulations/scenarios/{name}.yaml");
    let output = arbiter(&["simulate", "--scenario", &file, "--seeds", "1"], b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    golden(&format!("scenarios/{name}.txt"), &output.stdout);
}

/// One test per scenario file.
macro_rules! scenarios {
    ($($test:ident: $name:literal,)+) => {
        $(#[test]
        fn $test() {
            scenario($name);
        })+

        #[test]
        fn every_scenario_file_has_its_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/scenarios");
            let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<String> = files
                .filter_map(|file| file.to_str().and_then(|file| file.strip_suffix(".yaml")).map(str::to_owned))
                .collect();
            names.sort();
            assert_eq!(names, [$($name),+]);
        }
    };
}

scenarios! {
    api_refusal: "api-refusal",
    bursty_tenant: "bursty-tenant",
    daily_ramp_slow_start: "daily-ramp-slow-start",
    diurnal: "diurnal",
    downstream_bottleneck: "downstream-bottleneck",
    false_zeros: "false-zeros",
    false_zeros_everywhere: "false-zeros-everywhere",
    flash_crowd: "flash-crowd",
    full_cluster: "full-cluster",
    idle_to_zero: "idle-to-zero",
    infeasible_resize: "infeasible-resize",
    infeasible_slo: "infeasible-slo",
    limits_throttle: "limits-throttle",
    memory_leak: "memory-leak",
    metric_outage: "metric-outage",
    mixed_sizes_rollout: "mixed-sizes-rollout",
    neighbours: "neighbours",
    node_loss: "node-loss",
    noisy: "noisy",
    noisy_low_counts: "noisy-low-counts",
    oom_at_start: "oom-at-start",
    queue_batches: "queue-batches",
    queue_bursts: "queue-bursts",
    queue_heavy: "queue-heavy",
    queue_night: "queue-night",
    ramps: "ramps",
    ratchet: "ratchet",
    recorded_day: "recorded-day",
    refused_resizes: "refused-resizes",
    rollout_costs_more: "rollout-costs-more",
    sidecar: "sidecar",
    sidecar_dominates: "sidecar-dominates",
    sidecar_idles: "sidecar-idles",
    slow_start: "slow-start",
    steady: "steady",
    step: "step",
}
