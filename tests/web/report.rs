//! The report of a simulation as somebody gets it in an attachment: a file, opened from the disk.

use std::{path::Path, process::Command};

use crate::browser::{Browser, Tab};

/// A report of a short simulation; its address in a browser.
fn report(out: &Path) -> String {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/traces/mongodb_rps_3d.csv");
    let output = Command::new(env!("CARGO_BIN_EXE_arbiter"))
        .args(["simulate", "--seeds", "1", "--controllers", "arbiter,hpa50,hpa70,hpa80", "--trace"])
        .arg(trace)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let file = out.join("report.html");
    assert!(file.metadata().unwrap().len() <= 8 << 20, "a report opens quickly and passes as an attachment");
    format!("file://{}", file.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reads_it_wide_and_narrow_light_and_dark() {
    let out = tempfile::tempdir().unwrap();
    let url = report(out.path());
    let browser = Browser::start().await;
    let tab = browser.open(&url, 1280, "light").await;
    tab.until("the plots", "document.documentElement.dataset.ready === 'yes'").await;
    let sentence: String = tab.value("document.querySelector('h1').textContent").await;
    assert!(sentence.contains("has the lowest J") && sentence.contains("requests over the SLO"), "{sentence}");
    marks(&tab).await;
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        tab.resize(width, scheme).await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(tab.sideways().await, 0, "the page is wider than {width}");
        tab.picture(&format!("report-{width}-{scheme}")).await;
    }
    only_the_file(&tab, &url).await;
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pointing_tells_why_and_dragging_looks_closer() {
    let out = tempfile::tempdir().unwrap();
    let url = report(out.path());
    let browser = Browser::start().await;
    let tab = browser.open(&url, 1280, "light").await;
    tab.until("the plots", "document.documentElement.dataset.ready === 'yes'").await;
    tab.value::<bool>("(document.querySelector('#played').scrollIntoView(), true)").await;
    let words = "[...document.querySelectorAll('.why')].map((w) => w.textContent)";
    let before: Vec<String> = tab.value(words).await;
    tab.hover(".stack", 0.7, 0.3).await;
    tab.until("plotly's label", "document.querySelector('.stack .hoverlayer')?.textContent.includes('demand')").await;
    tab.until("other words", &format!("{words}.every((w, i) => w !== {}[i])", serde_json::json!(before))).await;
    let after: Vec<String> = tab.value(words).await;
    let instant = |text: &String| text.split("demand").next().unwrap().to_owned();
    assert_eq!(instant(&after[0]), instant(&after[1]), "both controllers tell of the same moment");
    assert!(after.iter().all(|words| words.contains("(decided day")), "each gives a decision and its time: {after:?}");
    assert!(after[0].contains("choice") && after[0].contains('▸'), "and what it weighed: {}", after[0]);
    tab.picture("report-1280-light-hover").await;
    // A picture of the whole page leaves another window behind.
    tab.resize(1280, "light").await;
    zoom(&tab).await;
    keyboard(&tab).await;
    only_the_file(&tab, &url).await;
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
}

/// Every kind of plot has marks, for each controller that is shown.
async fn marks(tab: &Tab) {
    let figures: usize = tab.value("document.querySelectorAll('.figures .stack').length").await;
    assert_eq!(figures, 2, "arbiter and what runs today");
    let points: usize = tab.value("document.querySelectorAll('.plane .scatterlayer .point').length").await;
    assert_eq!(points, 4);
    for index in 0..figures {
        let stack = format!("document.querySelectorAll('.figures .stack')[{index}]");
        let lines: usize = tab
            .value(&format!(
                "[...{stack}.querySelectorAll('path.js-line')].filter((p) => p.getTotalLength() > 300).length"
            ))
            .await;
        assert!(lines >= 5, "demand, capacity, pods, size and latency are drawn: {lines}");
        let band: usize = tab.value(&format!("{stack}.querySelectorAll('.heatmaplayer image').length")).await;
        assert_eq!(band, 1, "reasons are drawn");
    }
}

/// A drag, a button and a double click; all figures follow.
async fn zoom(tab: &Tab) {
    let widths = "[...document.querySelectorAll('.stack')].map((s) => Math.round(s.layout.xaxis.range[1] - s.layout.xaxis.range[0]))";
    assert_eq!(tab.value::<Vec<i64>>(widths).await, [72, 72]);
    tab.drag(".stack", (0.4, 0.2), (0.6, 0.2)).await;
    tab.until("a closer look in both", &format!("{widths}.every((w) => w > 5 && w < 30)")).await;
    tab.value::<bool>("[...document.querySelectorAll('#zoom button')].at(-1).click() ?? true").await;
    tab.until("the worst hour in both", &format!("{widths}.every((w) => w === 1)")).await;
    tab.picture("report-1280-light-worst-hour").await;
    tab.value::<bool>("document.querySelector('#zoom button').click() ?? true").await;
    tab.until("all again", &format!("{widths}.every((w) => w === 72)")).await;
    tab.value::<bool>("[...document.querySelectorAll('#controllers button')].at(-1).click() ?? true").await;
    tab.until("a third controller", "document.querySelectorAll('.stack .heatmaplayer image').length === 3").await;
    tab.value::<bool>("document.querySelector('#theme').click() ?? true").await;
    tab.until("the other colours", "document.documentElement.dataset.theme === 'dark'").await;
    tab.picture("report-1280-three-toggled").await;
}

/// Through time without a mouse.
async fn keyboard(tab: &Tab) {
    tab.value::<bool>("(document.querySelector('.stack').focus(), true)").await;
    let before: String = tab.value("document.querySelector('.why').textContent").await;
    tab.press("ArrowRight").await;
    let after: String = tab.value("document.querySelector('.why').textContent").await;
    assert_ne!(before, after);
}

/// Nothing but the file itself was asked for.
async fn only_the_file(tab: &Tab, url: &str) {
    let asked: Vec<String> = tab.requests();
    assert!(
        asked.iter().all(|asked| asked == url || asked.starts_with("data:") || asked.starts_with("blob:")),
        "{asked:?}"
    );
    assert!(asked.contains(&url.to_owned()), "requests are seen at all: {asked:?}");
}
