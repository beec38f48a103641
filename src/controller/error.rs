//! What keeps the controller from starting, each as one sentence.

use std::net::SocketAddr;

use crate::observe::ObserveError;

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// No way into a cluster.
    #[error(
        "the cluster's configuration cannot be used: {cause}; check KUBECONFIG and --context, or run inside a cluster"
    )]
    Kubeconfig {
        /// Why.
        cause: String,
    },
    /// The API server does not answer.
    #[error("the API server at {url} cannot be reached ({cause}): check the cluster and the network")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        cause: String,
    },
    /// The API server does not know us.
    #[error("the API server at {url} refuses these credentials ({cause}): check the user of the context")]
    Refused {
        /// Where.
        url: String,
        /// Why.
        cause: String,
    },
    /// Something in the cluster is not as a command needs it; the whole sentence.
    #[error("{0}")]
    Cluster(String),
    /// A port cannot be had.
    #[error("cannot listen on {address} ({cause}): choose another address with {flag}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The flag that says where.
        flag: &'static str,
        /// Why.
        cause: String,
    },
    /// Nothing can be kept.
    #[error("nothing can be kept in {} ({cause}): choose another directory with --state-dir", directory.display())]
    StateDir {
        /// Where.
        directory: std::path::PathBuf,
        /// Why.
        cause: String,
    },
    /// A source's settings make no sense.
    #[error(transparent)]
    Source(#[from] ObserveError),
    /// The process cannot be told to stop.
    #[error("signals of the operating system cannot be received: {0}")]
    Signals(std::io::Error),
}

impl ControllerError {
    /// The class of the error.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Kubeconfig { .. } => "kubeconfig",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Cluster(_) => "cluster",
            Self::Listen { .. } => "listen",
            Self::StateDir { .. } => "state_dir",
            Self::Source(_) => "source",
            Self::Signals(_) => "signals",
        }
    }
}
