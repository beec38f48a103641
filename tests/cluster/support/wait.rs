//! Waiting for something to become so, with a cap; never a bare sleep.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until `look` gives something; fails naming `what` and the last look's words.
pub(crate) async fn await_some<T, F>(what: &str, seconds: u64, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > Duration::from_secs(seconds) => {
                panic!("{what}: not within {seconds} s; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Waits until a value, looked up again and again, satisfies a condition; gives the value.
pub(crate) async fn await_that<T, F>(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> F,
    is: impl Fn(&T) -> bool,
) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = T>,
{
    let is = &is;
    await_some(what, seconds, move || {
        let seen = look();
        async move {
            let seen = seen.await;
            if is(&seen) { Ok(seen) } else { Err(format!("{seen:?}")) }
        }
    })
    .await
}

/// Looks again and again for so many seconds, and fails as soon as the condition does not hold.
pub(crate) async fn holds_for<T, F>(what: &str, seconds: u64, mut look: impl FnMut() -> F, is: impl Fn(&T) -> bool)
where
    T: std::fmt::Debug,
    F: Future<Output = T>,
{
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        let seen = look().await;
        assert!(is(&seen), "{what}: after {:.1} s: {seen:?}", start.elapsed().as_secs_f64());
        tokio::time::sleep(LOOK).await;
    }
}
