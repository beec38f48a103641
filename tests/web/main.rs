//! The page in headless Chromium: what a person sees, with and without a mouse, wide and narrow, light and dark.
//! Pictures are kept under `target/screenshots`. Needs Chromium; `tests/web/install-chromium` brings it.

mod browser;
mod demo;
mod hostile;
mod report;
mod workloads;
