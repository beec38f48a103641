//! Consumption of a JetStream stream through a durable pull consumer.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures::TryStreamExt as _;

/// Most messages taken in one step; a step's capacity is far below it.
const MOST: usize = 2_000;

/// A consumer, connected.
#[derive(Debug)]
pub(crate) struct Queue(PullConsumer);

impl Queue {
    /// Connects to a consumer that exists.
    pub(crate) async fn connect(server: &str, stream: &str, consumer: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(server).await.with_context(|| format!("connecting to {server}"))?;
        let stream = jetstream::new(client).get_stream(stream).await.context("the stream")?;
        let consumer = stream.get_consumer(consumer).await.map_err(|e| anyhow::anyhow!("the consumer: {e}"))?;
        Ok(Self(consumer))
    }

    /// Takes and acknowledges up to so many messages that wait; returns how many there were.
    pub(crate) async fn take(&self, messages: usize) -> anyhow::Result<usize> {
        let fetch = self.0.fetch().max_messages(messages.min(MOST)).expires(Duration::from_secs(1));
        let mut batch = fetch.messages().await.context("fetching messages")?;
        let mut taken = 0;
        while let Some(message) = batch.try_next().await.map_err(|e| anyhow::anyhow!("fetching messages: {e}"))? {
            message.ack().await.map_err(|e| anyhow::anyhow!("acknowledging: {e}"))?;
            taken += 1;
        }
        Ok(taken)
    }
}
