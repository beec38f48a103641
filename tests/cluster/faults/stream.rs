//! A watch on its way through the proxy: cut, halved, held back, doubled, or ended with 410.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    places::Places,
    plan::{Fault, Kind},
    server::Broken,
};

/// How long a stream with [`Kind::Lag`] runs as it should before it stands still.
const BEFORE_LAG: Duration = Duration::from_secs(1);

/// A failure in the API server's form.
pub(super) fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
        "message": format!("{reason}: a fault of the test"),
    })
}

/// The body with its fault. It ends with its reader.
pub(super) fn spoil(body: Body, fault: Option<Fault>, places: Arc<Places>, place: String) -> Body {
    let Some(fault) = fault else { return body };
    let (sender, receiver) = mpsc::channel(16);
    let pump = Pump { fault, places, place, sender, held: Vec::new() };
    tokio::spawn(pump.run(body.into_data_stream()));
    Body::from_stream(futures::stream::unfold(receiver, |mut receiver| async {
        let event: Result<Bytes, Broken> = receiver.recv().await?;
        Some((event, receiver))
    }))
}

struct Pump {
    fault: Fault,
    places: Arc<Places>,
    place: String,
    sender: mpsc::Sender<Result<Bytes, Broken>>,
    /// Of an event, what has come so far.
    held: Vec<u8>,
}

impl Pump {
    async fn run(mut self, mut events: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
        let span = Duration::from_millis(self.fault.millis);
        let ends = matches!(self.fault.kind, Kind::Cut | Kind::Gone | Kind::Half);
        let (mut at, mut lagged) = (Instant::now() + if ends { span } else { BEFORE_LAG }, false);
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                () = sleep_until(at), if ends || (self.fault.kind == Kind::Lag && !lagged) => match self.fault.kind {
                    Kind::Lag => {
                        tokio::time::sleep(span).await;
                        lagged = true;
                    }
                    // The next event is halved, or nothing when none comes for a while.
                    Kind::Half if !lagged => {
                        lagged = true;
                        at += span;
                    }
                    _ => return self.end().await,
                },
                event = events.next() => {
                    let Some(Ok(part)) = event else { return };
                    let halve = self.fault.kind == Kind::Half && lagged;
                    if !self.take(&part, halve).await {
                        return;
                    }
                }
            }
        }
    }

    async fn end(self) {
        if self.fault.kind == Kind::Gone {
            let event = json!({"type": "ERROR", "object": status(410, "Expired")});
            drop(self.sender.send(Ok(Bytes::from(format!("{event}\n")))).await);
        }
    }

    /// Passes whole events on; answers whether the stream goes on.
    async fn take(&mut self, part: &Bytes, halve: bool) -> bool {
        self.held.extend_from_slice(part);
        let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') else { return true };
        let rest = self.held.split_off(end + 1);
        let whole = std::mem::replace(&mut self.held, rest);
        if halve {
            drop(self.sender.send(Ok(Bytes::from(whole[..whole.len() / 2].to_vec()))).await);
            drop(self.sender.send(Err(Broken)).await);
            return false;
        }
        let twice = self.fault.kind == Kind::Twice && self.places.on(&self.place);
        for event in whole.split_inclusive(|byte| *byte == b'\n') {
            for _ in 0..=usize::from(twice) {
                if self.sender.send(Ok(Bytes::copy_from_slice(event))).await.is_err() {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(fault: Fault) -> Result<Vec<u8>, ()> {
        let places = Arc::new(Places::new([("shop".to_owned(), 1)].into_iter(), 0, true));
        let lines = ["{\"a\":1}\n{\"b\"", ":2}\n", "{\"c\":3}\n"].map(|text| Ok::<_, Broken>(Bytes::from(text)));
        let slow = futures::stream::iter(lines).then(|part| async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            part
        });
        let body = spoil(Body::from_stream(slow), Some(fault), places, "shop".into());
        axum::body::to_bytes(body, 1000).await.map(|bytes| bytes.to_vec()).map_err(drop)
    }

    #[tokio::test]
    async fn events_stay_whole_and_in_order() {
        let doubled = through(Fault { kind: Kind::Twice, millis: 0 }).await.expect("a whole body");
        let expected = "{\"a\":1}\n{\"a\":1}\n{\"b\":2}\n{\"b\":2}\n{\"c\":3}\n{\"c\":3}\n";
        assert_eq!(String::from_utf8_lossy(&doubled), expected);
        let late = through(Fault { kind: Kind::Lag, millis: 10 }).await.expect("a whole body");
        assert_eq!(String::from_utf8_lossy(&late), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_says_so_and_ends() {
        let gone = through(Fault { kind: Kind::Gone, millis: 50 }).await.expect("a whole body");
        let text = String::from_utf8_lossy(&gone).into_owned();
        assert!(text.starts_with("{\"a\":1}\n") && text.contains("\"code\":410") && !text.contains("\"c\""), "{text}");
    }

    #[tokio::test]
    async fn half_an_event_breaks_the_stream() {
        assert_eq!(through(Fault { kind: Kind::Half, millis: 40 }).await, Err(()));
    }
}
