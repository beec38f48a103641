//! Where a pod is reached: its own address, and the ports that its containers name.

use std::{net::IpAddr, sync::Arc};

use serde::Deserialize;

/// The address of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// None yet.
    #[default]
    None,
    /// That of its node.
    Node,
    /// Its own.
    Own(IpAddr),
}

impl Address {
    /// Of a pod with this address, on a node with that one, as its status has them.
    pub(super) fn of(host_network: bool, pod_ip: &str, host_ip: &str) -> Self {
        if host_network || (!pod_ip.is_empty() && pod_ip == host_ip) {
            return Self::Node;
        }
        pod_ip.parse().map_or(Self::None, Self::Own)
    }
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    name: String,
    container_port: u16,
}

/// Those that have a name.
pub(super) fn named<'a>(ports: impl Iterator<Item = &'a ContainerPort>) -> Arc<[(String, u16)]> {
    ports.filter(|port| !port.name.is_empty()).map(|port| (port.name.clone(), port.container_port)).collect()
}
