//! The page that a controller serves: many workloads, one of them named by somebody with bad intentions.

use std::sync::Arc;

use arbiter::{
    decide::{Decision, Snapshot},
    policy::{Mode, PolicyKey},
    serve::{Board, Header, Limits, PolicyMeta, loopback_only, router},
    units::Seconds,
};
use serde_json::json;

use crate::browser::Browser;

/// Markup that would run if any string became markup.
const HOSTILE: &str = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>";

const START: i64 = 1_770_112_800;

fn meta(kind: &str, fight: Option<&str>) -> PolicyMeta {
    PolicyMeta {
        kind: kind.to_owned(),
        target: "backend".to_owned(),
        mode: Mode::Auto,
        latency_target: Some(Seconds(0.25)),
        latency_objective: Some(0.99),
        drain_within: None,
        fight: fight.map(ToOwned::to_owned),
    }
}

/// One tick of a workload whose demand goes up and down over an hour.
fn tick(second: i64, message: &str, reason: &str) -> (Snapshot, Decision) {
    let at = jiff::Timestamp::from_second(START + second).unwrap();
    let phase = (second % 3600) as f64 / 3600.0;
    let demand = 3.0 + 5.0 * (0.5 - (phase - 0.5).abs());
    // Whole pods: a count is written without a fraction.
    let replicas = (0_u32..).find(|n| f64::from(*n) * 0.9 >= demand).unwrap();
    let snapshot = json!({
        "at": at, "replicas": {"spec": replicas, "ready": replicas},
        "containers": [{"name": "app", "sizes": [{"cpuCores": 1.0, "pods": replicas, "ready": replicas}]}],
        "signals": {"latency": {"value": 0.1 + phase * 0.2, "violationRatio": 0.01}}
    });
    let alternative = |n: u32, chosen: bool| {
        json!({"replicas": n, "podCores": 1.0, "chosen": chosen, "carriesCores": f64::from(n) * 0.9, "missingCores": 0.0,
               "podsPerHour": f64::from(n) * 0.04, "shortagePerHour": 0.0, "switchPerHour": 0.0})
    };
    let decision = json!({
        "at": at, "replicas": replicas, "boost": null, "reason": reason, "message": message,
        "containers": [{"name": "app", "requests": {"cpuCores": 1.0, "memoryBytes": 268_435_456}, "limits": {}}],
        "explain": {
            "demandCores": demand, "plannedCores": demand * 1.1, "capacityCores": 0.9,
            "alternatives": [alternative(replicas, true), alternative(replicas + 1, false)],
            "signals": [{"name": HOSTILE, "role": "Latency", "value": 0.2, "ageSeconds": 3.0, "state": "Fresh"}]
        }
    });
    (serde_json::from_value(snapshot).unwrap(), serde_json::from_value(decision).unwrap())
}

fn board() -> Arc<Board> {
    let board = Board::new(Limits::LIVE);
    let plain = "demand 7.4 cores, planned with 10 % headroom for 8.1; 9 × 1.2 cores carry 8.8, 8 would carry 7.8";
    for (name, message, reason, fight) in [
        ("checkout", plain, "CpuDemand", None),
        (
            "encode",
            "2,140 items wait; 12 replicas drain them in 26 s (target 30 s), 11 would take 41 s",
            "BacklogDeadline",
            None,
        ),
        (
            "front",
            "replica 7 has been idle for 5 min 20 s; it leaves in 4 min 40 s if demand stays",
            "HoldingForDemand",
            None,
        ),
        ("search", plain, "CpuDemand", Some("HPA `search` changed replicas 6 → 9 at 12:03:11: third time in 15 min")),
        (HOSTILE, HOSTILE, "SignalsStale", None),
    ] {
        let key = PolicyKey { namespace: "shop".to_owned(), name: name.to_owned() };
        for second in (0..7200).step_by(15) {
            let (snapshot, decision) = tick(second, message, reason);
            board.record(&key, meta("Deployment", fight), &snapshot, &decision, snapshot.at);
        }
    }
    board.set_header(Header { leader: Some(true), tick_ms: Some(3.2), ..Header::default() });
    Arc::new(board)
}

async fn serve(board: Arc<Board>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, loopback_only(router(board))).await });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_found_and_read_without_a_mouse() {
    let url = serve(board()).await;
    let browser = Browser::start().await;
    let tab = browser.open(&url, 1280, "light").await;
    tab.until("the list", "document.querySelectorAll('#workloads [role=option]').length === 5").await;
    let first: String = tab.value("document.querySelector('#workloads .name').textContent").await;
    assert_eq!(first, "shop/search", "fights are on top");
    let state: String = tab.value("document.querySelector('#state').innerText").await;
    assert!(state.contains("leading") && state.contains("5 policies") && state.contains("1 fight"), "{state}");
    tab.press("/").await;
    tab.write("front").await;
    tab.until("the filter", "document.querySelectorAll('#workloads [role=option]').length === 1").await;
    tab.press("Enter").await;
    tab.until("the chosen one", "document.querySelector('.detail h1')?.textContent === 'shop/front'").await;
    tab.until("its plots", "document.querySelectorAll('.plots rect.bar').length > 20").await;
    tab.tab_to(".plot-area").await;
    tab.press("ArrowLeft").await;
    tab.press("Enter").await;
    tab.until("the explain table", "document.querySelector('dialog[open] table tr.chosen')").await;
    tab.press("Escape").await;
    tab.value::<bool>(
        "(document.querySelector('#filter').value = '', document.querySelector('#filter').focus(), true)",
    )
    .await;
    tab.press("ArrowDown").await;
    tab.until("the whole list", "document.querySelectorAll('#workloads [role=option]').length === 5").await;
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        tab.resize(width, scheme).await;
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        assert_eq!(tab.sideways().await, 0, "the page is wider than {width}");
        tab.picture(&format!("workloads-{width}-{scheme}")).await;
    }
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_writes_is_only_ever_text() {
    let url = serve(board()).await;
    let browser = Browser::start().await;
    let tab = browser.open(&url, 390, "light").await;
    tab.until("the list", "document.querySelectorAll('#workloads [role=option]').length === 5").await;
    tab.value::<bool>("[...document.querySelectorAll('[role=option]')].find((o) => o.textContent.includes('onerror')).click() ?? true")
        .await;
    tab.until("the hostile one", "document.querySelector('.detail h1')?.textContent.includes('onerror')").await;
    tab.until("its sentence", "document.querySelector('figcaption .sentence').textContent.includes('<script>')").await;
    tab.tab_to(".plot-area").await;
    tab.press("Enter").await;
    tab.until("the table", "document.querySelector('dialog[open]')?.textContent.includes('onerror')").await;
    tab.picture("workloads-390-hostile").await;
    assert_eq!(tab.sideways().await, 0, "a long word does not widen the page");
    let ran: bool = tab.value("'pwned' in window || document.querySelectorAll('img').length > 1").await;
    assert!(!ran, "a tenant's text became markup");
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_board_says_so() {
    let url = serve(Arc::new(Board::new(Limits::LIVE))).await;
    let browser = Browser::start().await;
    let tab = browser.open(&url, 1280, "dark").await;
    tab.until("the hint", "document.querySelector('.empty')?.textContent.includes('No policy')").await;
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}
