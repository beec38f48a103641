//! Rivals: what people run today, one file each, as faithful as what a controller sees of the plant allows.

pub mod composites;
pub mod hpa;
mod hvpa;
pub mod vpa;

pub use composites::Beside;
pub use hpa::Hpa;
pub use hvpa::Hvpa;
