//! Named failures, played in the simulator: what earlier designs did wrong on real loads, and must not happen again.
//!
//! Every bound compares with an HPA at 70 % CPU on the same load, seed and world. Loads are short: hours, not days; the
//! kinds of trouble are those of the recordings (a tenant that idles and jumps, climbs, office hours, noise).
//!
//! `J` is dollars, late work priced as CPU included. A bound that does not hold is a finding, not a number to change.

mod conditions;
mod named;
mod scenes;
mod support;
