//! `arbiter demo` as a stranger meets it: started as a process, watched in a browser, left with Ctrl-C.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::browser::Browser;

/// The running demo.
struct Demo {
    process: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_arbiter"))
            .arg("demo")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "the address comes first: {url:?}");
        Self { process, stdout, url }
    }

    /// Ctrl-C; what it said last and its exit code.
    fn interrupt(mut self) -> (String, Option<i32>) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        (said, self.process.wait().unwrap().code())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Already gone after an interrupt; after a failed test it must not stay.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_side_by_side() {
    let demo = Demo::start(&["--speed", "1500"]);
    let browser = Browser::start().await;
    let tab = browser.open(&demo.url, 1280, "light").await;
    tab.until("both plots", "document.querySelectorAll('.side-body .plots').length === 2").await;
    tab.until("a third of the day", "document.querySelector('progress').value > 0.35").await;
    marks(&tab).await;
    assert_eq!(tab.sideways().await, 0);
    tab.hover(".plot-area", 0.25, 0.3).await;
    tab.until("the cursor on both sides", "document.querySelectorAll('.pointer line').length === 2").await;
    tab.picture("demo-1280-light-running").await;
    by_keyboard(&tab).await;
    tab.value::<bool>("[...document.querySelectorAll('.segments button')].at(-1).click() ?? true").await;
    tab.until("the end", "document.querySelector('.summary table')").await;
    for (width, scheme) in
        [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (760, "light"), (1920, "dark")]
    {
        tab.resize(width, scheme).await;
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        assert_eq!(tab.sideways().await, 0, "the page is wider than {width}");
        tab.picture(&format!("demo-{width}-{scheme}-end")).await;
    }
    assert_eq!(tab.problems(), Vec::<String>::new());
    browser.close().await;
    let (said, code) = demo.interrupt();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("On the same load arbiter paid $") && said.contains("CONTROLLER"), "{said}");
}

/// Every plot has marks: lines and bars that are not empty.
async fn marks(tab: &crate::browser::Tab) {
    for kind in ["line.demand", "line.capacity", "line.ready", "line.desired", "line.measured", "band"] {
        let drawn: usize = tab
            .value(&format!(
                "[...document.querySelectorAll('.plots path.{kind}')].filter((p) => p.getTotalLength() > 20).length"
            ))
            .await;
        // Only arbiter plans: the headroom's band is on its side alone.
        assert_eq!(drawn, if kind == "band" { 1 } else { 2 }, "{kind}");
    }
    for kind in ["bar", "reason"] {
        let drawn: usize = tab.value(&format!("document.querySelectorAll('.plots rect.{kind}').length")).await;
        assert!(drawn >= 2, "{kind}: {drawn}");
    }
}

/// Pause, walk through time and open the table behind a decision, all without a pointer.
async fn by_keyboard(tab: &crate::browser::Tab) {
    tab.tab_to("button.main").await;
    tab.press("Enter").await;
    tab.until("pause", "document.querySelector('button.main').textContent.includes('Play')").await;
    tab.tab_to(".side-body:last-child .plot-area").await;
    let newest: String = tab.value("document.activeElement.getAttribute('aria-valuetext')").await;
    for _ in 0..5 {
        tab.press("ArrowLeft").await;
    }
    let earlier: String = tab.value("document.activeElement.getAttribute('aria-valuetext')").await;
    assert_ne!(newest, earlier, "the arrow keys move the cursor");
    let outline: String = tab.value("getComputedStyle(document.activeElement).outlineStyle").await;
    assert_eq!(outline, "solid", "the focus is visible");
    tab.press("Enter").await;
    tab.until("the explain table", "document.querySelector('dialog[open] table tr.chosen')").await;
    tab.picture("demo-1280-light-explain").await;
    tab.press("Escape").await;
    tab.until("the dialog to close", "!document.querySelector('dialog[open]')").await;
    let back: bool = tab.value("document.activeElement.classList.contains('plot-area')").await;
    assert!(back, "the focus goes back to where it was");
    tab.value::<bool>("(document.querySelector('button.main').focus(), true)").await;
    tab.press("Enter").await;
    tab.until("play", "document.querySelector('button.main').textContent.includes('Pause')").await;
}

#[test]
fn ctrl_c_in_the_middle_prints_the_summary_so_far() {
    let demo = Demo::start(&["--speed", "5000"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let (said, code) = demo.interrupt();
    assert_eq!(code, Some(0));
    assert!(said.contains("Cut short after") && said.contains("CONTROLLER"), "{said}");
}

#[test]
fn without_a_page_only_the_summary_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_arbiter")).args(["demo", "--headless"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("On the same load arbiter paid $"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.trim_start().starts_with("arbiter") || line.contains("HPA at")).count(),
        3,
        "{text}"
    );
    assert!(output.stderr.is_empty(), "progress is for terminals only");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_arbiter")).args(["demo", "--port", &port]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}
