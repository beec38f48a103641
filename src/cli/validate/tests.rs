//! Tests of `arbiter validate`.
