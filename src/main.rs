//! The `arbiter` binary: parses the command line and dispatches; everything else lives in the library.

/// Its settings are in `.cargo/config.toml`.
#[cfg(feature = "controller")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    arbiter::cli::main()
}
