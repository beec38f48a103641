//! The vertical pod autoscaler's corpora.

use super::Corpus;

/// Corpora of this module.
pub const CORPORA: &[Corpus] = &[];
