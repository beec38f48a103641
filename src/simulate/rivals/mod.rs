//! Rivals: what people run today, one file each, as faithful as what a controller sees of the plant allows.

pub mod hpa;
pub mod vpa;

pub use hpa::Hpa;
