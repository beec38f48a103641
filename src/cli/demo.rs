//! `arbiter demo`: a recorded day under an HPA and under arbiter, side by side, without a cluster.
//!
//! The page stays served after the day is over, until Ctrl-C. Ctrl-C is how one leaves: it prints the summary of what
//! was played and exits 0. With `--headless` a day that was cut short exits 130, because its table is not the day's.

use std::{
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use comfy_table::{CellAlignment, Table, presets};
use tokio::net::TcpListener;

use super::{Failure, print};
use crate::{
    serve::demo::{Contestant, Demo, Desk, Status, play, router},
    simulate::{Load, Scenario, TICK, TraceOptions, controller},
    units::Seconds,
};

/// The recording: the first of its three days is played.
const TRACE: (&str, &str) = ("mongodb_rps_3d.csv", include_str!("../../simulations/traces/mongodb_rps_3d.csv"));

/// Its credit, as its licence asks.
const CREDIT: &str = "The load is the request rate of a production MongoDB application, its first recorded day, scaled to a peak \
                      of 8 cores of work: microsoft/cloud-monitoring-dataset, © Microsoft Corporation, MIT License. The cluster \
                      is simulated; both sides get the same load, the same metrics with the same delay, and the same seed.";

/// What is played.
const DAY: Seconds = Seconds(86_400.0);

/// How long the day takes on the page unless told otherwise: long enough to watch, short enough to stay.
const USUAL_SECONDS: f64 = 150.0;

/// Ticks between two looks at the clock of progress and at Ctrl-C.
const TICKS_PER_LOOK: usize = 48;

/// Exit code of a run that a signal cut short, as shells give it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// Arguments of `arbiter demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  arbiter demo\n  arbiter demo --port 8080 --speed 1200\n  arbiter demo --headless\n  arbiter demo --fight"
)]
pub(super) struct Args {
    /// No page: play as fast as possible and print the summary
    #[arg(long)]
    headless: bool,
    /// Port of the page on 127.0.0.1 [default: a free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Seconds of the day per second, 1 to 86400
    #[arg(long, default_value_t = DAY.get() / USUAL_SECONDS, value_parser = parse_speed)]
    speed: f64,
    /// Leave when the day is over instead of serving the page until Ctrl-C
    #[arg(long)]
    exit_at_end: bool,
    /// Seed of everything random in the simulated cluster
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show instead why two autoscalers on one workload fight: every known case, played and drawn in the terminal
    #[arg(long, conflicts_with_all = ["headless", "port", "speed", "exit_at_end", "seed"])]
    fight: bool,
    /// With --fight: a directory for the pictures (SVG) and the text
    #[arg(long, value_name = "DIR", requires = "fight")]
    out: Option<PathBuf>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=86_400.0).contains(&speed) { Ok(speed) } else { Err("not within 1 to 86400".to_owned()) }
}

/// Runs `arbiter demo`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.fight {
        return super::fight::run(args.out.as_deref());
    }
    let demo = prepare(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::Environment(format!("the demo cannot start its threads: {e}")))?;
    let code =
        if args.headless { runtime.block_on(headless(demo))? } else { runtime.block_on(with_page(demo, &args))? };
    // A connection that the browser keeps open must not keep the process.
    runtime.shutdown_background();
    Ok(code)
}

fn prepare(args: &Args) -> anyhow::Result<Demo> {
    let load = Load::read(TRACE.0, TRACE.1.as_bytes(), None)?;
    let options = TraceOptions { warmup: Seconds::ZERO, ..TraceOptions::default() };
    let scenario = Scenario { duration: DAY, ..Scenario::from_trace(load, options) };
    let contestants = vec![
        Contestant {
            name: "hpa70".to_owned(),
            title: "HPA at 70 %".to_owned(),
            subtitle: "autoscaling/v2 on CPU: replicas only".to_owned(),
            controller: controller("hpa70", &scenario)?,
        },
        Contestant {
            name: "arbiter".to_owned(),
            title: "arbiter".to_owned(),
            subtitle: "replicas and pod size from one decision".to_owned(),
            controller: controller("arbiter", &scenario)?,
        },
    ];
    Ok(Demo::new(&scenario, contestants, args.seed, CREDIT.to_owned(), args.speed))
}

/// Ends at Ctrl-C or SIGTERM.
async fn asked_to_end() -> std::io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminated.recv() => Ok(()),
    }
}

async fn headless(mut demo: Demo) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let desk = demo.desk();
    let asked = Arc::clone(&stop);
    let player = tokio::task::spawn_blocking(move || {
        let progress = Progress::new();
        while !asked.load(Ordering::Relaxed) {
            if !(0..TICKS_PER_LOOK).all(|_| demo.step()) {
                break;
            }
            progress.show(&demo.desk().status());
        }
        progress.clear();
    });
    let signals = tokio::spawn(async move {
        if asked_to_end().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    player.await?;
    signals.abort();
    let status = desk.status();
    print(&summary(&status))?;
    Ok(if status.finished { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
}

async fn with_page(demo: Demo, args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let cannot_listen = |e: std::io::Error| {
        Failure::Environment(format!("{wanted}: cannot listen: {e}; choose another port with --port, or leave it out"))
    };
    let listener = TcpListener::bind(wanted).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let desk = demo.desk();
    let server = tokio::spawn(std::future::IntoFuture::into_future(axum::serve(
        listener,
        router(demo.board(), Arc::clone(&desk)),
    )));
    print(&format!(
        "http://{address}/\nA recorded day in about {:.0} s, under an HPA and under arbiter; Ctrl-C ends it.\n",
        DAY.get() / args.speed
    ))?;
    let end = tokio::spawn(asked_to_end());
    let mut player = tokio::spawn(play(demo));
    let outcome = follow(&desk, &mut player, end, args.exit_at_end).await;
    player.abort();
    server.abort();
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// Shows progress until the day is over or Ctrl-C; prints the summary once; then waits for Ctrl-C, unless told not to.
async fn follow(
    desk: &Desk,
    player: &mut tokio::task::JoinHandle<Arc<Desk>>,
    end: tokio::task::JoinHandle<std::io::Result<()>>,
    exit_at_end: bool,
) -> anyhow::Result<()> {
    let progress = Progress::new();
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(500));
    tokio::pin!(end);
    let ended_early = loop {
        tokio::select! {
            outcome = &mut *player => break outcome.map(|_| false)?,
            outcome = &mut end => break outcome?.map(|()| true)?,
            _ = looks.tick() => progress.show(&desk.status()),
        }
    };
    progress.clear();
    print(&summary(&desk.status()))?;
    if ended_early || exit_at_end {
        return Ok(());
    }
    print("The page stays; Ctrl-C leaves.\n")?;
    end.await??;
    Ok(())
}

/// One line on stderr that is written over; nothing when stderr is not a terminal.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    fn show(&self, status: &Status) {
        if self.terminal {
            let share = (status.at - status.start) as f64 / (status.end - status.start) as f64;
            let paid: Vec<String> = status.sides.iter().map(|s| format!("{} ${:.2}", s.title, s.cost.get())).collect();
            eprint!("\r\x1b[K{:3.0} % of the day · {}", share * 100.0, paid.join(" · "));
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// The sentence and the table.
fn summary(status: &Status) -> String {
    let played = (status.at - status.start) as f64 / 1000.0;
    if played < TICK.get() {
        return "Nothing was played yet.\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "CONTROLLER",
        "PAID",
        "OVER THE OBJECTIVE",
        "PODS STARTED",
        "REVERSALS/H",
        "RESIZES/POD/DAY",
        "REPLICAS",
        "CORES",
    ]);
    for side in &status.sides {
        table.add_row([
            side.title.clone(),
            format!("${:.2}", side.cost.get()),
            side.over_ratio().map_or_else(|| "–".to_owned(), crate::serve::demo::percent),
            side.pods_started.to_string(),
            format!("{:.2}", side.score.reversals_per_hour),
            format!("{:.1}", side.score.resizes_per_pod_day),
            format!("{:.1}", side.score.mean_replicas),
            format!("{:.1}", side.score.mean_cpu_request_cores.get()),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let cut =
        if status.finished { String::new() } else { format!("Cut short after {:.1} h of the day. ", played / 3600.0) };
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    format!("{cut}{}\n\n{}\n", status.sentence, lines.join("\n"))
}
