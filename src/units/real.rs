//! Real-valued units: newtypes over `f64` with the arithmetic that makes sense for a unit.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

macro_rules! real_unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);
            /// The bare number, for arithmetic inside a room.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }
            /// The larger of two.
            #[must_use]
            pub const fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }
            /// The smaller of two.
            #[must_use]
            pub const fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
        }
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }
        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }
        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }
        /// The ratio of two amounts has no unit.
        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }
        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                Self(iter.map(|x| x.0).sum())
            }
        }
    };
}

real_unit!(
    /// CPU, in cores (one core = one CPU second per second).
    Cores
);
real_unit!(
    /// A span of time, in seconds.
    Seconds
);
real_unit!(
    /// Money, in US dollars.
    Dollars
);
real_unit!(
    /// A rate of spending, in US dollars per hour.
    DollarsPerHour
);

impl Cores {
    /// The amount in whole millicores, rounded up: what a request is written in.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; a request is never negative"
    )]
    pub fn millis_ceil(self) -> u64 {
        // A hair below, so that 1.2 cores, which is 1200.0000000000002 in binary, stays 1200m.
        (self.0 * 1000.0 - 1e-6).ceil() as u64
    }

    /// Whole millicores as cores.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis as f64 / 1000.0)
    }
}
