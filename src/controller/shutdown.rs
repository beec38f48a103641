//! I/O: The end: SIGTERM or SIGINT once, everything told at once, gone within two seconds.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long the parts may take to end: the lease is given back, nothing else waits.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long what is remembered may take to be written down before.
pub const KEEP: Duration = Duration::from_millis(800);

/// Cancels the token at the first SIGTERM or SIGINT.
pub fn on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name} received: stopping.");
        stop.cancel();
    });
    Ok(())
}
