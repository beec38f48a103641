//! What many policies cost: `arbiter run` as released, against an API server and a Prometheus that are played here, because
//! real ones with 100,000 pods need more cores than what is measured. Both speak the protocols (lists in pages, watches,
//! `/scale`, resizes, leases; instant queries) and play a cluster that changes: load goes up and down, pods come and go.
//!
//! `make scale` runs it and writes `simulations/results/scale.md`. `SCALE_SIZES=100,1000` and `SCALE_SECONDS=60` shorten it.
//! Without `ARBITER_RESULTS` nothing is written.

mod api;
mod measure;
mod objects;
mod page;
#[path = "../common/ports.rs"]
mod ports;
mod prometheus;
mod remembered;
mod world;

use std::path::PathBuf;

use measure::{Size, measure};

/// Serves until the test ends; answers the URL.
async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Policies and pods of each.
const SIZES: [Size; 7] = [
    Size { policies: 100, pods: 10, remembers: false },
    Size { policies: 300, pods: 10, remembers: false },
    Size { policies: 1_000, pods: 10, remembers: false },
    Size { policies: 1_000, pods: 20, remembers: false },
    Size { policies: 3_000, pods: 10, remembers: false },
    Size { policies: 10_000, pods: 10, remembers: false },
    Size { policies: 10_000, pods: 10, remembers: true },
];
/// Seconds that are measured, after the first decisions: eight ticks; and until the points of the page's charts are as many
/// as there will ever be, which with 10,000 policies is twelve of a minute after six of a tick.
const SECONDS: u64 = 120;
const FULL_SECONDS: u64 = 900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_many_policies() {
    let wanted: Option<Vec<usize>> = std::env::var("SCALE_SIZES").ok().map(|text| {
        text.split(',').map(|n| n.trim().parse().expect("SCALE_SIZES: numbers of policies, like 100,1000")).collect()
    });
    let seconds: Option<u64> =
        std::env::var("SCALE_SECONDS").ok().map(|text| text.parse().expect("SCALE_SECONDS: a number of seconds"));
    let mut rows = Vec::new();
    for size in SIZES {
        if wanted.as_ref().is_none_or(|wanted| wanted.contains(&size.policies)) {
            let otherwise = if size.remembers { FULL_SECONDS } else { SECONDS };
            rows.push(measure(size, seconds.unwrap_or(otherwise)).await);
        }
    }
    let folder = std::env::var_os("ARBITER_RESULTS").map(PathBuf::from);
    page::write(&rows, folder.as_deref());
    page::check(&rows);
}
