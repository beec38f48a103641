//! Headless Chromium over the DevTools protocol: opens pages, presses keys, collects everything that went wrong.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use chromiumoxide::{
    BrowserConfig, Page,
    cdp::{
        browser_protocol::{
            emulation::{MediaFeature, SetDeviceMetricsOverrideParams},
            input::{DispatchMouseEventParams, DispatchMouseEventType, InsertTextParams, MouseButton},
            log::EventEntryAdded,
            network::{EnableParams, EventRequestWillBeSent},
        },
        js_protocol::runtime::{ConsoleApiCalledType, EventConsoleApiCalled, EventExceptionThrown},
    },
    page::ScreenshotParams,
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// Longest wait for anything: generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with a profile of its own.
pub struct Browser {
    inner: chromiumoxide::Browser,
    events: JoinHandle<()>,
    _profile: tempfile::TempDir,
}

fn executable() -> PathBuf {
    let given = std::env::var("ARBITER_TEST_CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome"].map(ToOwned::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    given
        .into_iter()
        .chain(names)
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(&name)).collect::<Vec<_>>())
        .find(|file| file.is_file())
        .expect("no Chromium: run tests/web/install-chromium, or `apt-get install chromium`")
}

impl Browser {
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(executable())
            .new_headless_mode()
            .no_sandbox()
            .user_data_dir(profile.path())
            .viewport(None)
            .launch_timeout(PATIENCE)
            .request_timeout(PATIENCE)
            .args(["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"])
            .args(["disable-component-update", "disable-sync", "disable-dev-shm-usage"])
            .build()
            .unwrap();
        let (inner, mut handler) = chromiumoxide::Browser::launch(config).await.expect("Chromium starts");
        let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
        Self { inner, events, _profile: profile }
    }

    /// Opens an address at a width, in `light` or `dark`.
    pub async fn open(&self, url: &str, width: u32, scheme: &str) -> Tab {
        let page = self.inner.new_page("about:blank").await.unwrap();
        let problems = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut listeners = listen(&page, &problems).await;
        listeners.push(note_requests(&page, &requests).await);
        let tab = Tab { page, problems, requests, listeners };
        tab.resize(width, scheme).await;
        tab.page.goto(url).await.unwrap();
        tab
    }

    pub async fn close(mut self) {
        self.inner.close().await.unwrap();
        self.inner.wait().await.unwrap();
        self.events.abort();
    }
}

async fn listen(page: &Page, problems: &Arc<Mutex<Vec<String>>>) -> Vec<JoinHandle<()>> {
    page.enable_log().await.unwrap();
    page.enable_runtime().await.unwrap();
    let mut thrown = page.event_listener::<EventExceptionThrown>().await.unwrap();
    let mut logged = page.event_listener::<EventEntryAdded>().await.unwrap();
    let mut console = page.event_listener::<EventConsoleApiCalled>().await.unwrap();
    let keep = |problems: &Arc<Mutex<Vec<String>>>, text: String| problems.lock().unwrap().push(text);
    let (a, b, c) = (Arc::clone(problems), Arc::clone(problems), Arc::clone(problems));
    vec![
        tokio::spawn(async move {
            while let Some(event) = thrown.next().await {
                keep(&a, format!("thrown: {:?}", event.exception_details));
            }
        }),
        tokio::spawn(async move {
            while let Some(event) = logged.next().await {
                keep(&b, format!("logged: {} {:?}", event.entry.text, event.entry.url));
            }
        }),
        tokio::spawn(async move {
            while let Some(event) = console.next().await {
                if matches!(event.r#type, ConsoleApiCalledType::Error | ConsoleApiCalledType::Warning) {
                    keep(&c, format!("console: {:?}", event.args));
                }
            }
        }),
    ]
}

async fn note_requests(page: &Page, requests: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    page.execute(EnableParams::default()).await.unwrap();
    let mut sent = page.event_listener::<EventRequestWillBeSent>().await.unwrap();
    let requests = Arc::clone(requests);
    tokio::spawn(async move {
        while let Some(event) = sent.next().await {
            requests.lock().unwrap().push(event.request.url.clone());
        }
    })
}

/// One open page.
pub struct Tab {
    page: Page,
    problems: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
    listeners: Vec<JoinHandle<()>>,
}

impl Tab {
    pub async fn resize(&self, width: u32, scheme: &str) {
        let height = if width < 600 { 844 } else { 1000 };
        let size = SetDeviceMetricsOverrideParams::new(i64::from(width), height, 1.0, false);
        self.page.execute(size).await.unwrap();
        let scheme = MediaFeature::new("prefers-color-scheme".to_owned(), scheme.to_owned());
        self.page.emulate_media_features(vec![scheme]).await.unwrap();
    }

    /// The value of a script expression.
    pub async fn value<T: DeserializeOwned>(&self, script: &str) -> T {
        let answer = self.page.evaluate(script).await.unwrap_or_else(|e| panic!("{script}: {e}"));
        answer.into_value().unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// Waits until a script expression is true.
    pub async fn until(&self, what: &str, script: &str) {
        for _ in 0..PATIENCE.as_millis() / 100 {
            if self.value::<bool>(&format!("Boolean({script})")).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let text: String = self.value("document.body.innerText.slice(0, 1500)").await;
        panic!("waited in vain for {what} ({script}); problems: {:?}; the page says:\n{text}", self.problems());
    }

    pub async fn press(&self, key: &str) {
        self.page.find_element("body").await.unwrap().press_key(key).await.unwrap();
    }

    /// Types text into what has the focus.
    pub async fn write(&self, text: &str) {
        self.page.execute(InsertTextParams::new(text)).await.unwrap();
    }

    /// Presses Tab until the element that a selector names has the focus, as somebody without a mouse does.
    pub async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            if self.value::<bool>(&format!("document.activeElement.matches({selector:?})")).await {
                return;
            }
            self.press("Tab").await;
        }
        panic!("{selector} is not reached by the Tab key");
    }

    /// Moves the pointer to a part of an element's box (0..1 each way).
    pub async fn hover(&self, selector: &str, right: f64, down: f64) {
        let [x, y]: [f64; 2] = self
            .value(&format!(
                "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'nearest'}});
                   const b = e.getBoundingClientRect(); return [b.x + b.width * {right}, b.y + b.height * {down}]; }})()"
            ))
            .await;
        self.page.execute(DispatchMouseEventParams::new(DispatchMouseEventType::MouseMoved, x, y)).await.unwrap();
    }

    /// Presses the left button at one part of an element's box and lets go at another.
    pub async fn drag(&self, selector: &str, from: (f64, f64), to: (f64, f64)) {
        let [x, y, width, height]: [f64; 4] = self
            .value(&format!(
                "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView();
                   const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }})()"
            ))
            .await;
        let at = |part: (f64, f64)| (x + width * part.0, y + height * part.1);
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        for (kind, part, held) in [
            (DispatchMouseEventType::MouseMoved, from, 0),
            (DispatchMouseEventType::MousePressed, from, 1),
            (DispatchMouseEventType::MouseMoved, middle, 1),
            (DispatchMouseEventType::MouseMoved, to, 1),
            (DispatchMouseEventType::MouseReleased, to, 0),
        ] {
            let (x, y) = at(part);
            let event = DispatchMouseEventParams::builder().r#type(kind).x(x).y(y).button(MouseButton::Left);
            self.page.execute(event.buttons(held).click_count(1).build().unwrap()).await.unwrap();
            // A hand is not quicker, and a page may look at the pointer once per frame.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Addresses that the page has asked for.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Keeps a picture of the whole page under `target/screenshots`.
    pub async fn picture(&self, name: &str) {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.parent().expect("tmp lies in the target directory").join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let whole = ScreenshotParams::builder().full_page(true).build();
        self.page.save_screenshot(whole, folder.join(format!("{name}.png"))).await.unwrap();
    }

    /// Pixels by which the page is wider than the window.
    pub async fn sideways(&self) -> i64 {
        self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth").await
    }

    /// Errors, warnings, exceptions, refused resources so far.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap().clone()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}
