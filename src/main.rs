//! The `arbiter` binary: parses the command line and dispatches; everything else lives in the library.

fn main() -> std::process::ExitCode {
    arbiter::cli::main()
}
