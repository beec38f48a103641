//! What a simulation assumes and what it cannot know, in words.

use crate::simulate::{Scenario, summary::Assumptions};

/// Names and values of what the scores rest on.
#[must_use]
pub fn assumptions(assumptions: &Assumptions, scenario: &Scenario, seeds: u64) -> Vec<(String, String)> {
    let service = &assumptions.service;
    let prices = &assumptions.prices;
    let milliseconds = |seconds: f64| format!("{:.0} ms", seconds * 1000.0);
    let policy = &scenario.policy;
    let rows = [
        (
            "Prices",
            format!(
                "${} per core and hour, ${} per GiB and hour, for what pods request from creation to the end of their drain",
                prices.core_hour.get(),
                prices.gib_hour.get()
            ),
        ),
        ("J", format!("cost, plus {:.0} times the price of the CPU that late requests took", assumptions.v_j)),
        (
            "Objective",
            format!("{} of requests within {}", percent(service.quantile), milliseconds(service.objective.get())),
        ),
        (
            "Service",
            format!(
                "{} of CPU per request, {} cores per idle pod, {} MiB of memory plus {:.1} MiB per request a second",
                milliseconds(service.work.get()),
                service.idle.get(),
                service.memory_base.0 >> 20,
                service.memory_per_rps.as_f64() / f64::from(1 << 20),
            ),
        ),
        (
            "Load",
            format!(
                "the recorded shape, scaled to {} cores of work at its peak (99.9th percentile)",
                scenario.peak_cores.get()
            ),
        ),
        (
            "Start",
            format!(
                "a pod takes its first request {:.0} s after its creation in the middle of cases",
                service.start_median.get()
            ),
        ),
        (
            "What controllers see",
            "means over 30 s that end 15 s ago, at a look every 15 s; the same for every controller".to_owned(),
        ),
        ("Replicas", format!("{} to {}", policy.replicas.min, policy.replicas.max)),
        (
            "Scored",
            format!(
                "after a warm-up of {:.0} h; means over {seeds} {}; the plots show the first seed",
                assumptions.warmup_s.get() / 3600.0,
                if seeds == 1 { "seed" } else { "seeds" }
            ),
        ),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What no simulation of this kind can know.
#[must_use]
pub fn unknowns() -> Vec<String> {
    [
        "A replayed load does not answer: real users retry, give up or come back when a service is slow, so a bad hour would \
         be worse than it looks here.",
        "What the service waits for (database, cache, another service) is not in the recording; capacity that does not help \
         in production helps here.",
        "The shape of a request is a mean: one endpoint that costs a hundred times the others is not told apart.",
        "Node prices, reservations and bin packing: requests are priced, not machines.",
        "Next month: the load that was recorded is the load that is played.",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

/// A share as a percentage without needless zeros.
fn percent(share: f64) -> String {
    format!("{} %", (share * 100_000.0).round() / 1000.0)
}
