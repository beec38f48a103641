//! What a block in which something did not hold leaves to look into, in the folder that `FAULT_KEEP` names.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::json;

use super::record::Versions;
use crate::support::{AuditEvent, Cluster};

fn folder() -> Option<PathBuf> {
    std::env::var_os("FAULT_KEEP").map(PathBuf::from)
}

/// Its log, and every version of every object of its histories, one JSON line each.
pub(super) fn keep(cluster: &Cluster, block: &str, histories: &[(String, Versions)]) {
    let Some(folder) = folder() else { return };
    let log = format!("{block}.log");
    drop(std::fs::copy(cluster.dir().join(&log), folder.join(log)));
    let mut lines = String::new();
    for (namespace, versions) in histories {
        for (kind, all) in &versions.0 {
            for version in all {
                let line = json!({
                    "namespace": namespace, "kind": format!("{kind:?}"), "name": version.name, "at": version.at,
                    "object": version.object,
                });
                writeln!(lines, "{line}").expect("a text takes any text");
            }
        }
    }
    drop(std::fs::write(folder.join(format!("{block}.versions")), lines));
}

/// What it wrote, by the audit log.
pub(super) fn keep_writes(block: &str, events: &[AuditEvent]) {
    let Some(folder) = folder() else { return };
    let lines: String = events.iter().filter(|event| event.writes()).fold(String::new(), |mut lines, event| {
        writeln!(lines, "{event:?}").expect("a text takes any text");
        lines
    });
    drop(std::fs::write(folder.join(format!("{block}.writes")), lines));
}
