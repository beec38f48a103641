//! The service that the real node runs: requests wait in a bounded queue, a few workers take them, and each costs CPU time.
//!
//! Plain std and one static binary, so that its image needs nothing else. As `pause` it is the process of a pod's sandbox.
//!
//! Invariant: the cost of a request is the worker's CPU time as the kernel counts it, so that throttling makes requests late
//! and never cheaper.
//!
//! | path | answer |
//! |---|---|
//! | `/work` | when a worker has done it; 503 at once when the queue is full |
//! | `/queue` | how many requests wait |
//! | `/metrics` | the text format of Prometheus |
//! | `/ready` | 200 |
//! | `/fill/N` | a file of N MiB is written: page cache that is charged to the container; 0 removes it |

#![expect(clippy::disallowed_methods, reason = "a service lives in real time")]

mod http;
mod measures;
mod queue;

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use measures::Measures;
use queue::{Item, Queue};

/// Iterations between two looks at the clock: some tenths of a millisecond.
const CHUNK: u32 = 200_000;
/// Where `/fill` writes: a volume that the pod brings.
const FILL: &str = "/scratch/fill";

/// How it is to work.
#[derive(Clone, Copy, Debug)]
struct Options {
    port: u16,
    workers: usize,
    queue: usize,
    work: Duration,
}

impl Options {
    /// `--port=`, `--workers=`, `--queue=` and `--work-ms=`.
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self { port: 8080, workers: 2, queue: 1000, work: Duration::from_millis(20) };
        for arg in args {
            let (key, value) = arg.split_once('=').ok_or_else(|| format!("{arg}: write --name=number"))?;
            let number: u32 = value.parse().map_err(|e| format!("{arg}: {e}"))?;
            match key {
                "--port" => options.port = u16::try_from(number).map_err(|e| format!("{arg}: {e}"))?,
                "--workers" => options.workers = number as usize,
                "--queue" => options.queue = number as usize,
                "--work-ms" => options.work = Duration::from_millis(u64::from(number)),
                _ => return Err(format!("{arg}: there is no such option")),
            }
        }
        Ok(options)
    }
}

/// What its threads share.
struct Service {
    queue: Queue,
    measures: Measures,
    work: Duration,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((word, [])) if word == "pause" => loop {
            thread::park();
        },
        Some((word, rest)) if word == "serve" => Options::parse(rest).and_then(serve),
        _ => {
            Err("usage: service pause | service serve [--port=8080] [--workers=2] [--queue=1000] [--work-ms=20]".into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<(), String> {
    cpu_time()?;
    let listener = TcpListener::bind(("0.0.0.0", options.port)).map_err(|e| format!("port {}: {e}", options.port))?;
    let service = Service { queue: Queue::new(options.queue), measures: Measures::default(), work: options.work };
    let service = Arc::new(service);
    for _ in 0..options.workers {
        let service = Arc::clone(&service);
        thread::spawn(move || service.work());
    }
    // A thread for each connection: a client that sends nothing keeps nobody waiting.
    for stream in listener.incoming().flatten() {
        let service = Arc::clone(&service);
        thread::spawn(move || service.receive(stream));
    }
    Ok(())
}

impl Service {
    /// Takes requests for ever.
    fn work(&self) {
        loop {
            let item = self.queue.take();
            let (status, text) = match burn(self.work) {
                Ok(()) => ("200 OK", "done\n".to_owned()),
                Err(error) => ("500 Internal Server Error", error),
            };
            self.measures.answered(item.since.elapsed());
            http::answer(item.stream, status, &text);
        }
    }

    fn receive(&self, mut stream: TcpStream) {
        let since = Instant::now();
        let Some(path) = http::path(&mut stream) else { return };
        match path.as_str() {
            "/work" => {
                self.measures.arrived();
                if let Err(item) = self.queue.put(Item { stream, since }) {
                    self.measures.refused();
                    http::answer(item.stream, "503 Service Unavailable", "the queue is full\n");
                }
            }
            "/ready" => http::answer(stream, "200 OK", "ready\n"),
            "/queue" => http::answer(stream, "200 OK", &format!("{}\n", self.queue.len())),
            "/metrics" => http::answer(stream, "200 OK", &self.measures.text(self.queue.len())),
            other => match other.strip_prefix("/fill/").map(fill) {
                Some(Ok(())) => http::answer(stream, "200 OK", "filled\n"),
                Some(Err(error)) => http::answer(stream, "500 Internal Server Error", &error),
                None => http::answer(stream, "404 Not Found", "there is nothing here\n"),
            },
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Result<Duration, String> {
    let name = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(name).map_err(|e| format!("{name}: {e}"))?;
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| format!("{name}: {text}"))
}

/// Computes until this thread has used so much more CPU time.
fn burn(work: Duration) -> Result<(), String> {
    let end = cpu_time()? + work;
    let mut state = 1_u64;
    while cpu_time()? < end {
        for _ in 0..CHUNK {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        }
    }
    Ok(())
}

fn fill(mib: &str) -> Result<(), String> {
    let mib: u32 = mib.parse().map_err(|e| format!("{mib}: {e}"))?;
    if mib == 0 {
        return fs::remove_file(FILL).map_err(|e| format!("{FILL}: {e}"));
    }
    let block = vec![0x5a_u8; 1 << 20];
    let mut file = fs::File::create(FILL).map_err(|e| format!("{FILL}: {e}"))?;
    for _ in 0..mib {
        file.write_all(&block).map_err(|e| format!("{FILL}: {e}"))?;
    }
    // Clean pages: the kernel can give them up, which is why they are no working set.
    file.sync_all().map_err(|e| format!("{FILL}: {e}"))
}
