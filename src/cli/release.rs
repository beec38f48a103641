//! `arbiter release`: gives every stood down autoscaler back, when the controller is gone or about to go.

use std::process::ExitCode;

use super::{Failure, run::default_identity};
use crate::{
    controller::{
        ControllerError,
        lease::{Settings, Timing},
        release::{Release, Released, release},
    },
    policy::Shard,
};

/// Arguments of `arbiter release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arbiter release -n shop checkout\n  arbiter release --all --stop arbiter\n\n\
                  Policies stay; one in mode Auto takes over again when a controller starts: set mode: Recommend, or delete it.\n\n\
                  Exit codes: 0 all is given back, 1 something was not (said on stderr), 3 cluster or lease out of reach.")]
pub(super) struct Args {
    /// Policies [default: all of the namespace]
    #[arg(value_name = "POLICY")]
    names: Vec<String>,
    /// Namespace, several times for several
    #[arg(long = "namespace", short = 'n', value_name = "NAME", required_unless_present = "all")]
    namespaces: Vec<String>,
    /// All namespaces
    #[arg(long, short = 'A', conflicts_with = "namespaces")]
    all: bool,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace of the controller's lease
    #[arg(long, value_name = "NAME", default_value = "arbiter-system", env = "ARBITER_LEASE_NAMESPACE")]
    lease_namespace: String,
    /// Name of the controller's lease
    #[arg(long, value_name = "NAME", default_value = "arbiter")]
    lease_name: String,
    /// Do not ask for the lease: no controller runs
    #[arg(long, conflicts_with_all = ["lease_name", "stop"])]
    without_lease: bool,
    /// Scale this Deployment of the lease's namespace to zero first: the controller; several times for several shards
    #[arg(long, value_name = "DEPLOYMENT")]
    stop: Vec<String>,
}

/// Runs `arbiter release`.
#[expect(clippy::needless_pass_by_value, reason = "every subcommand owns its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lease = Settings {
        namespace: args.lease_namespace.clone(),
        base: args.lease_name.clone(),
        shard: Shard::WHOLE,
        identity: format!("release-{}", default_identity()),
        timing: Timing::default(),
    };
    let wanted = Release {
        context: args.context.clone(),
        namespaces: args.namespaces.clone(),
        names: args.names.clone(),
        lease: (!args.without_lease).then_some(lease),
        stop: args.stop.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Environment(format!("no thread can be started: {e}")))?;
    let environment = |error: ControllerError| Failure::Environment(error.to_string());
    let released = runtime.block_on(release(&wanted)).map_err(environment)?;
    super::print(&report(&released))?;
    let problems: Vec<&Released> = released.iter().filter(|one| one.problem.is_some()).collect();
    for one in &problems {
        eprintln!("{}: {}", one.policy, one.problem.as_deref().unwrap_or_default());
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What was done, one line each, and how many.
fn report(released: &[Released]) -> String {
    let lines = released.iter().flat_map(|one| one.done.iter().map(move |done| format!("{}: {done}\n", one.policy)));
    let mut text: String = lines.collect();
    let given_back = released.iter().filter(|one| one.problem.is_none() && !one.done.is_empty()).count();
    let nothing = released.iter().filter(|one| one.problem.is_none() && one.done.is_empty()).count();
    text.push_str(&format!("{given_back} given back, {nothing} had nothing displaced\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyKey;

    #[test]
    fn the_report_says_what_was_done_and_counts() {
        let one = |name: &str, done: &[&str]| Released {
            policy: PolicyKey { namespace: "shop".into(), name: name.into() },
            done: done.iter().map(|&text| text.to_owned()).collect(),
            problem: None,
        };
        let text = report(&[one("web", &["HorizontalPodAutoscaler web: given back as it was"]), one("api", &[])]);
        let expected =
            "shop/web: HorizontalPodAutoscaler web: given back as it was\n1 given back, 1 had nothing displaced\n";
        assert_eq!(text, expected);
    }
}
