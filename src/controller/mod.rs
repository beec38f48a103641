//! [io] The loop: observe, decide, actuate, report.
