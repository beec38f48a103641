//! A real node: kubelet, containerd and runc, a real service under real load, and arbiter in mode Auto.
//!
//! `make test-node` runs these alone, one after the other, on a cluster of `tests/cluster/up --with-node --nodes 0`: no KWOK and
//! no emulator. Usage and throttling come from the kubelet's `/metrics/cadvisor`, the request rate from the service itself, both
//! through a real Prometheus. What was really done is read in the cgroup files of the containers.

mod cgroup;
mod clock;
mod closes;
mod failed;
mod in_place;
mod load;
mod refused;
mod stage;

/// Ticks often, so that a test waits for what it is about.
const OFTEN: &str = "--tick=2s";

/// Prints a figure that the documents quote.
#[expect(clippy::print_stdout, reason = "a measurement is its output")]
fn report(text: &str) {
    println!("measured: {text}");
}
