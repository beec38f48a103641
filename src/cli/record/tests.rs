use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;
use crate::simulate::recording::{Kind, MANIFEST};

const POLICY: &str = include_str!("../../../simulations/policy.yaml");

/// Answers every range query with its own instants.
struct Echo;

fn parameter(body: &str, name: &str) -> Option<i64> {
    body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?.parse().ok()
}

impl wiremock::Respond for Echo {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let (start, end, step) = (parameter(&body, "start"), parameter(&body, "end"), parameter(&body, "step"));
        let (start, end, step) = (start.unwrap(), end.unwrap(), step.unwrap());
        let count = (end - start) / step + 1;
        if count > 11_000 {
            let answer = json!({"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"});
            return ResponseTemplate::new(400).set_body_json(answer);
        }
        let values: Vec<_> = (0..count).map(|i| json!([start + i * step, "1.5"])).collect();
        let result = json!([{"metric": {}, "values": values}]);
        ResponseTemplate::new(200)
            .set_body_json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    }
}

fn args(url: &str, directory: &std::path::Path, more: &[&str]) -> Args {
    #[derive(clap::Parser)]
    struct Probe {
        #[command(flatten)]
        args: Args,
    }
    let policy = directory.join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let (policy, out) = (policy.display().to_string(), directory.join("out").display().to_string());
    let fixed = ["arbiter", "--policy", &policy, "--prometheus", url, "--out", &out];
    <Probe as clap::Parser>::try_parse_from(fixed.iter().chain(more)).unwrap().args
}

/// Runs the command away from the test's runtime.
async fn record(args: Args) -> Result<ExitCode, String> {
    tokio::task::spawn_blocking(|| run(args).map_err(|e| e.to_string())).await.unwrap()
}

const SPAN: [&str; 6] = ["--from", "2026-02-01T00:00:00Z", "--to", "2026-02-04T00:00:00Z", "--step", "15s"];

#[tokio::test(flavor = "multi_thread")]
async fn history_comes_in_pieces_that_the_server_answers() {
    let server = MockServer::start().await;
    Mock::given(path("/api/v1/query_range")).respond_with(Echo).mount(&server).await;
    let directory = tempfile::tempdir().unwrap();
    record(args(&server.uri(), directory.path(), &SPAN)).await.unwrap();
    let out = directory.path().join("out");
    let demand = std::fs::read_to_string(out.join("demand.csv")).unwrap();
    let times: Vec<i64> = demand.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 15), "no instant twice and none left out");
    assert_eq!(times.len(), 3 * 86_400 / 15 + 1);
    let manifest: Manifest = serde_json::from_str(&std::fs::read_to_string(out.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(manifest.rows[&Kind::Usage], 17_281);
    assert!(!out.join(".pieces").exists());
    let again = record(args(&server.uri(), directory.path(), &SPAN)).await.unwrap_err();
    assert!(again.contains("holds a finished recording"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_recording_goes_on_and_asks_nothing_twice() {
    let server = MockServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    // Five answers, then the query is at fault: the run ends there.
    Mock::given(path("/api/v1/query_range")).respond_with(Echo).up_to_n_times(5).mount(&server).await;
    let broken = json!({"status": "error", "errorType": "execution", "error": "too many samples"});
    let broken =
        Mock::given(path("/api/v1/query_range")).respond_with(ResponseTemplate::new(422).set_body_json(broken));
    broken.mount(&server).await;
    let error = record(args(&server.uri(), directory.path(), &SPAN)).await.unwrap_err();
    assert!(error.contains("too many samples") && error.starts_with("the history of `"), "{error}");
    let out = directory.path().join("out");
    assert!(!out.join("demand.csv").exists() && !out.join(MANIFEST).exists(), "nothing is half written");
    let asked = server.received_requests().await.unwrap().len();
    assert_eq!(asked, 6);
    server.reset().await;
    Mock::given(path("/api/v1/query_range")).respond_with(Echo).mount(&server).await;
    let other = record(args(&server.uri(), directory.path(), &["--last", "1d"])).await.unwrap_err();
    assert!(other.contains("an unfinished recording of simulation/web"), "{other}");
    record(args(&server.uri(), directory.path(), &SPAN)).await.unwrap();
    // Ten kinds of series in two pieces each; five were there.
    assert_eq!(server.received_requests().await.unwrap().len(), 2 * 10 - 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_said_with_what_to_do() {
    let server = MockServer::start().await;
    let empty = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    Mock::given(path("/api/v1/query_range"))
        .respond_with(ResponseTemplate::new(200).set_body_json(empty))
        .mount(&server)
        .await;
    let directory = tempfile::tempdir().unwrap();
    let error = record(args(&server.uri(), directory.path(), &SPAN)).await.unwrap_err();
    assert!(
        error.contains("has no `demand` between the given times: check the times and the query sum(rate("),
        "{error}"
    );
    let reversed = ["--from", "2026-02-04T00:00:00Z", "--to", "2026-02-01T00:00:00Z"];
    let error = record(args(&server.uri(), directory.path(), &reversed)).await.unwrap_err();
    assert!(error.contains("--from must lie before --to"), "{error}");
    let mut no_demand = args(&server.uri(), directory.path(), &SPAN);
    no_demand.policy = directory.path().join("other.yaml");
    let policy = POLICY.replace("role: Demand", "role: Saturation");
    std::fs::write(&no_demand.policy, policy).unwrap();
    let error = record(no_demand).await.unwrap_err();
    assert!(error.contains("other.yaml: spec.signals: no signal with `role: Demand`"), "{error}");
}

#[test]
fn spans_may_be_days() {
    assert_eq!(past("14d").unwrap().as_hours(), 336);
    assert_eq!(past("36h").unwrap().as_hours(), 36);
    assert!(past("soon").is_err() && past("0d").is_err() && past("-3d").is_err());
}
