//! What people see over HTTP: the page and its JSON API; with a cluster also metrics and health.
