//! A stream and a durable pull consumer of a test's own, on the cluster's NATS server.

use async_nats::jetstream::{
    self, Context,
    consumer::{AckPolicy, PullConsumer, pull},
    stream,
};

use super::scene::Scene;

/// A queue with nothing in it.
#[derive(Debug)]
pub(crate) struct Queue {
    context: Context,
    consumer: PullConsumer,
    name: String,
    server: String,
    monitoring: String,
}

impl Queue {
    /// Creates the stream and its consumer.
    pub(crate) async fn create(scene: &Scene, name: &str) -> Self {
        let server = scene.cluster.get("NATS_URL").to_owned();
        let monitoring = scene.cluster.get("NATS_MONITOR_URL").to_owned();
        let name = format!("{name}-{}", std::process::id());
        let context = jetstream::new(async_nats::connect(&server).await.expect("NATS"));
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![format!("{name}.>")],
            storage: stream::StorageType::Memory,
            retention: stream::RetentionPolicy::WorkQueue,
            ..Default::default()
        };
        let stream = context.create_stream(config).await.expect("a stream");
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 10_000,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.expect("a consumer");
        Self { context, consumer, name, server, monitoring }
    }

    /// Name of the stream.
    pub(crate) fn stream(&self) -> &str {
        &self.name
    }

    /// Name of the consumer.
    pub(crate) fn consumer(&self) -> &str {
        &self.name
    }

    /// Base URL of the server's monitoring.
    pub(crate) fn monitoring_url(&self) -> &str {
        &self.monitoring
    }

    /// Server, stream and consumer.
    pub(crate) fn address(&self) -> (String, String, String) {
        (self.server.clone(), self.name.clone(), self.name.clone())
    }

    /// Publishes so many messages, and waits until the server has all of them.
    pub(crate) async fn publish(&self, messages: usize) {
        let mut last = None;
        for _ in 0..messages {
            let sent = self.context.publish(format!("{}.work", self.name), "work".into()).await.expect("publishing");
            last = Some(sent);
        }
        if let Some(last) = last {
            last.await.expect("the server's acknowledgement");
        }
    }

    /// Messages that are not yet acknowledged.
    pub(crate) async fn waiting(&self) -> u64 {
        let mut consumer = self.consumer.clone();
        let info = consumer.info().await.expect("the consumer");
        info.num_pending + u64::try_from(info.num_ack_pending).expect("a count")
    }
}
