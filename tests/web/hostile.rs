//! Markup in every string that a tenant can choose: on the page and in the report it is text, and nothing of it runs.
//!
//! Which strings those are is found, not listed by hand: every text of a full snapshot and a full decision that is not a
//! word of a closed set takes any other text.

use std::{process::Command, sync::Arc};

use arbiter::{
    decide::{Decision, Snapshot},
    policy::{Mode, PolicyKey},
    serve::{Board, Header, Limits, PolicyMeta, loopback_only, router},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::browser::{Browser, Tab};

/// Markup that runs if it becomes markup, in an element's text, in an attribute, and in a script; and a word that a
/// narrow page cannot break.
fn hostile(place: &str) -> String {
    format!(
        "<img src=x onerror=\"window.pwned='{place}'\"><script>window.pwned='{place}'</script>\"'><svg onload=\"window.pwned='{place}'\">\
         </script><script>window.pwned='{place}'</script><a href=\"javascript:window.pwned=1\">{place}</a>\u{202e}{}",
        "w".repeat(120)
    )
}

/// Puts markup into every free text below a value; gives the paths of those texts.
fn poison<T: DeserializeOwned>(whole: &mut Value) -> Vec<String> {
    let mut paths = Vec::new();
    texts(whole, String::new(), &mut paths);
    paths.retain(|path| {
        let mut tried = whole.clone();
        *tried.pointer_mut(path).expect("a path of this value") = hostile(path).into();
        let free = serde_json::from_value::<T>(tried.clone()).is_ok();
        if free {
            *whole = tried;
        }
        free
    });
    paths
}

fn texts(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::String(_) => paths.push(path),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| texts(v, format!("{path}/{i}"), paths)),
        Value::Object(fields) => fields.iter().for_each(|(k, v)| texts(v, format!("{path}/{k}"), paths)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A snapshot with every text there is.
fn snapshot() -> Value {
    let size = json!({"cpuCores": 1.0, "memoryBytes": 1 << 28});
    json!({
        "at": "2026-02-03T10:00:00Z",
        "replicas": {"spec": 3, "ready": 3, "templateHash": "x", "lastWriter": "x"},
        "containers": [{"name": "x", "request": size, "sizes": [{"cpuCores": 1.0, "pods": 3, "ready": 3, "resize": "None"}],
            "floor": {"cpuCores": 1.0, "why": "x"}}],
        "room": {"quota": {"name": "x", "cpuCores": 1.0}},
        "signals": {"load": {"value": 1.0, "state": "Fresh", "note": "x"}},
    })
}

/// A decision with every text there is.
fn decision() -> Value {
    let row = json!({"replicas": 3, "podCores": 1.0, "chosen": true, "carriesCores": 1.0, "missingCores": 0.0, "podsPerHour": 0.1,
        "shortagePerHour": 0.0, "switchPerHour": 0.0, "ruledOut": "Demand"});
    json!({
        "at": "2026-02-03T10:00:00Z", "replicas": 3, "reason": "CpuDemand", "message": "x",
        "containers": [{"name": "x", "requests": {"cpuCores": 1.0}, "limits": {}}],
        "boost": {"containers": [{"name": "x", "cpuCores": 2.0}], "until": "2026-02-03T10:05:00Z"},
        "explain": {
            "binding": {"constraint": "Demand"}, "demandCores": 1.0, "demandFrom": "x", "alternatives": [row],
            "signals": [{"name": "x", "role": "Latency", "value": 0.2, "state": "Stale", "note": "x"}],
            "heldBackBy": ["x"], "limited": "x", "rival": "x", "unreachable": "x",
        },
    })
}

/// A board with one workload, all of whose texts are markup; the texts of its decision.
fn board() -> (Arc<Board>, Vec<String>) {
    let (mut seen, mut decided) = (snapshot(), decision());
    let (of_snapshot, of_decision) = (poison::<Snapshot>(&mut seen), poison::<Decision>(&mut decided));
    assert_eq!(
        of_snapshot,
        [
            "/containers/0/floor/why",
            "/containers/0/name",
            "/replicas/lastWriter",
            "/replicas/templateHash",
            "/room/quota/name",
            "/signals/load/note"
        ]
    );
    // Names of signals are keys.
    let signals = seen["signals"].as_object_mut().unwrap();
    let load = signals.remove("load").unwrap();
    signals.insert(hostile("signal"), load);
    // The page asks by these; the API server takes no name in which text turns.
    let name = |place: &str| hostile(place).replace('\u{202e}', "");
    let key = PolicyKey { namespace: name("namespace"), name: name("policy") };
    let meta = || PolicyMeta {
        kind: hostile("kind"),
        target: hostile("target"),
        mode: Mode::Auto,
        latency_target: None,
        latency_objective: None,
        drain_within: None,
        fight: Some(hostile("fight")),
    };
    let board = Board::new(Limits::LIVE);
    let start: jiff::Timestamp = "2026-02-03T10:00:00Z".parse().unwrap();
    for second in (0..1800).step_by(15) {
        let at = start + jiff::SignedDuration::from_secs(second);
        let mut snapshot: Snapshot = serde_json::from_value(seen.clone()).unwrap();
        let mut decision: Decision = serde_json::from_value(decided.clone()).unwrap();
        (snapshot.at, decision.at) = (at, at);
        decision.replicas.0 += u32::try_from(second % 2).unwrap();
        board.record(&key, meta(), &snapshot, &decision, at);
    }
    board.set_header(Header { leader: Some(false), holder: Some(hostile("holder")), ..Header::default() });
    (Arc::new(board), of_decision)
}

/// Nothing of a tenant's runs, and no element of theirs is there.
async fn harmless(tab: &Tab, scripts: usize) {
    let ran: String = tab.value("String(window.pwned)").await;
    assert_eq!(ran, "undefined", "a tenant's text ran");
    let theirs: usize = tab
        .value("document.querySelectorAll('img[src=\"x\"], svg[onload], [onerror], a[href^=\"javascript:\"]').length")
        .await;
    assert_eq!(theirs, 0, "a tenant's text became elements");
    let turned: bool = tab.value("/[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.documentElement.outerHTML)").await;
    assert!(!turned, "a tenant's text turns the direction of other words");
    let now: usize = tab.value("document.scripts.length").await;
    assert_eq!(now, scripts, "a tenant's text became a script");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_tenant_becomes_markup_on_the_page() {
    let (board, of_decision) = board();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, loopback_only(router(board))).await });
    let browser = Browser::start().await;
    let tab = browser.open(&url, 390, "light").await;
    tab.until("the list", "document.querySelectorAll('#workloads [role=option]').length === 1").await;
    let scripts: usize = tab.value("document.scripts.length").await;
    let shown = |place: &str, whole: &str| {
        format!("document.querySelector('{whole}').textContent.includes(\"pwned='{place}'\")")
    };
    for place in ["namespace", "policy", "kind", "target", "fight", "holder", "/message"] {
        tab.until(place, &shown(place, "body")).await;
    }
    tab.tab_to(".plot-area").await;
    tab.press("Enter").await;
    tab.until("the table", "document.querySelector('dialog[open] table')").await;
    // A rival is told as the fight above, what is boosted by the plots.
    let elsewhere = ["/explain/rival", "/boost/containers/0/name"];
    for place in of_decision.iter().filter(|place| !elsewhere.contains(&place.as_str())) {
        tab.until(place, &shown(place, "dialog")).await;
    }
    harmless(&tab, scripts).await;
    assert_eq!(tab.sideways().await, 0, "a long word does not widen the page");
    tab.picture("hostile-390-page").await;
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_scenario_or_a_trace_becomes_markup_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    // A file's name may hold anything but a slash.
    let trace = folder.path().join("<img src=x onerror=\"window.pwned='trace'\">'.csv");
    std::fs::write(
        &trace,
        (0..120)
            .map(|i| format!("{},{}\n", i * 60, 50 + i % 7 * 20))
            .fold("timestamp_s,rps\n".to_owned(), |a, b| a + &b),
    )
    .unwrap();
    let scenario = folder.path().join("<svg onload=window.pwned=1>.yaml");
    let sidecar = json!({"name": hostile("sidecar"), "workPerRequest": "1ms", "idleCores": "10m", "memory": "64Mi", "cpuRequest": "100m", "memoryRequest": "128Mi"});
    let text = json!({
        "name": hostile("scenario"), "description": hostile("description"),
        "load": {"shape": "diurnal", "low": 2, "high": 5, "period": "1h"},
        "service": {"sidecars": [sidecar]}, "duration": "2h", "warmup": "10m", "controllers": ["arbiter", "hpa70"],
    });
    std::fs::write(&scenario, text.to_string()).unwrap();
    for (way, file, place) in [("--trace", &trace, "trace"), ("--scenario", &scenario, "scenario")] {
        let out = folder.path().join(place);
        let output = Command::new(env!("CARGO_BIN_EXE_arbiter"))
            .args(["simulate", "--seeds", "1", "--controllers", "arbiter,hpa70", way])
            .arg(file)
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let browser = Browser::start().await;
        let url = format!("file://{}", out.join("report.html").display());
        for width in [390, 1280] {
            let tab = browser.open(&url, width, "light").await;
            reads_as_text(&tab, place, width).await;
            tab.picture(&format!("hostile-{width}-report-{place}")).await;
            let asked = tab.requests();
            assert!(
                asked.iter().all(|asked| *asked == url || asked.starts_with("data:") || asked.starts_with("blob:")),
                "{asked:?}"
            );
            assert_eq!(tab.problems(), Vec::<String>::new());
        }
        browser.close().await;
    }
}

/// A report that is open: its texts, also those that come with the pointer, are text.
async fn reads_as_text(tab: &Tab, place: &str, width: u32) {
    tab.until("the plots", "document.documentElement.dataset.ready === 'yes'").await;
    let scripts: usize = tab.value("document.scripts.length").await;
    assert_eq!(scripts, 3, "the data, plotly and the page's own");
    tab.until("the name as text", &format!("document.body.innerText.includes(\"pwned='{place}'\")")).await;
    tab.value::<bool>("(document.querySelector('#played').scrollIntoView(), true)").await;
    let words = "[...document.querySelectorAll('.why')].map((w) => w.textContent)";
    let before: Vec<String> = tab.value(words).await;
    tab.hover(".stack", 0.5, 0.3).await;
    tab.until("other words", &format!("{words}.every((w, i) => w !== {}[i])", json!(before))).await;
    // A narrow page has no room for plotly's own label.
    if width > 600 {
        tab.until("plotly's label", "document.querySelector('.stack .hoverlayer')?.textContent.includes('demand')")
            .await;
    }
    harmless(tab, scripts).await;
    assert_eq!(tab.sideways().await, 0, "a long word does not widen the page");
}
