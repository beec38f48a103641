//! The embedded cluster: plant, load, rivals, score.
