//! The horizontal pod autoscaler's corpora.

mod normalise;
mod replicas;

use super::Corpus;

/// Corpora of this module.
pub const CORPORA: &[Corpus] = &[
    Corpus { name: "hpa_replicas", replay: replicas::replay },
    Corpus { name: "hpa_normalise", replay: normalise::replay },
];
