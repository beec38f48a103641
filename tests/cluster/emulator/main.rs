//! The workload emulator: it behaves as the pods of a workload would, where the pods themselves are only objects.
//!
//! It reads the target's ready pods and their allocated requests from the API server, serves a synthetic request rate or
//! consumes a JetStream stream at the rate that those pods could, and exports what cAdvisor and the application would:
//! usage per container and request counters per pod. The pods are spread over one or more exporters, each of which can be
//! stopped alone.
//!
//! It must not know arbiter: what it does follows from pods and load only. It ends when its standard input closes, so
//! that it cannot outlive the test that started it.
//!
//! The first line on standard output says where it listens: `{"control":"http://…","exporters":["127.0.0.1:…"]}`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use tokio::{io::AsyncReadExt, sync::Mutex, time::Instant};

mod control;
mod exporter;
mod plant;
mod pods;
mod queue;
mod usage;

/// How often the plant moves. Short against a 5 s scrape, and a queue is drained in even steps.
const STEP: Duration = Duration::from_millis(250);

/// What the emulator is told at its start.
#[derive(Debug, Parser)]
struct Args {
    /// Identity with which pods are read
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Namespace of the workload
    #[arg(long)]
    namespace: String,
    /// Label selector of its pods
    #[arg(long)]
    selector: String,
    /// Container that does the work
    #[arg(long, default_value = "app")]
    container: String,
    /// Value of the label `app` on application metrics
    #[arg(long)]
    app: String,
    /// Core-seconds that one item costs
    #[arg(long, default_value_t = 0.05)]
    work: f64,
    /// Items per second at the start; they are requests, not messages
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Answers later than this are counted as late, in seconds
    #[arg(long, default_value_t = 1.0)]
    objective: f64,
    /// Say what each pod uses in annotations that KWOK's kubelets read: for metrics.k8s.io
    #[arg(long)]
    annotate: bool,
    /// Exporters among which the pods are spread
    #[arg(long, default_value_t = 1)]
    exporters: usize,
    /// Consume messages from this server instead of serving requests only
    #[arg(long, requires_all = ["stream", "consumer"])]
    nats: Option<String>,
    /// Stream to consume
    #[arg(long)]
    stream: Option<String>,
    /// Durable pull consumer of that stream
    #[arg(long)]
    consumer: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    install_tls();
    let names = [args.namespace.as_str(), &args.app, &args.container];
    let plant = plant::Plant::new(names, args.exporters, (args.rate, args.work), args.objective);
    let plant = Arc::new(Mutex::new(plant));
    let mut exporters = Vec::new();
    for index in 0..args.exporters {
        exporters.push(exporter::Exporter::start(index, Arc::clone(&plant)).await?);
    }
    let addresses: Vec<String> = exporters.iter().map(|e| e.address().to_string()).collect();
    let control = control::start(Arc::clone(&plant), exporters).await?;
    announce(&serde_json::json!({"control": format!("http://{control}"), "exporters": addresses}).to_string());

    let api = pods::api(&args.kubeconfig, &args.namespace).await?;
    let pods = pods::follow(api.clone(), &args.selector, &args.container);
    if args.annotate {
        tokio::spawn(usage::tell(Arc::clone(&plant), api));
    }
    let queue = match (&args.nats, &args.stream, &args.consumer) {
        (Some(server), Some(stream), Some(consumer)) => Some(queue::Queue::connect(server, stream, consumer).await?),
        _ => None,
    };
    tokio::select! {
        result = run(&plant, &pods, queue.as_ref()) => result,
        result = closed(tokio::io::stdin()) => result.context("reading standard input"),
    }
}

/// Moves the plant by the time that has passed, for ever.
async fn run(plant: &Mutex<plant::Plant>, pods: &pods::Pods, queue: Option<&queue::Queue>) -> anyhow::Result<()> {
    let mut last = Instant::now();
    let mut ticker = tokio::time::interval(STEP);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        let now = Instant::now();
        let seconds = (now - last).as_secs_f64();
        last = now;
        let wanted = {
            let mut plant = plant.lock().await;
            plant.set_pods(&pods.now());
            plant.step(seconds)
        };
        if let Some(queue) = queue.filter(|_| wanted > 0) {
            let taken = queue.take(wanted).await?;
            plant.lock().await.consumed(taken);
        }
    }
}

/// Ends when the other side closes.
async fn closed(mut input: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<()> {
    let mut buffer = [0_u8; 64];
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// The one line for whoever started this process.
#[expect(clippy::print_stdout, reason = "standard output is the interface to the test")]
fn announce(line: &str) {
    println!("{line}");
}

/// The one TLS provider; a second installation is refused and changes nothing.
fn install_tls() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
