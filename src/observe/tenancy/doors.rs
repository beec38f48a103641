//! I/O: The way of a direct source to the pods of its namespace, without DNS.
//!
//! A host `SERVICE.NAMESPACE` is the Service of that name: its selector says which pods, the watched pods say at which
//! addresses. So nothing that a tenant controls can lead elsewhere: no DNS answer, no `EndpointSlice`, no `ExternalName`,
//! no redirect. Pods on their node's network are passed over, and so are addresses that no pod network has.
//!
//! A Service is read at most once in [`KEPT`]; the pods are looked at for every poll, so that an address that went to
//! another pod is not asked any more.
//!
//! Invariant: an address that leaves here belongs, by the watch, to a ready pod of the namespace.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};
use kube::{Api, Client};
use reqwest::Url;
use tokio::time::Instant;

use super::Tenancy;
use crate::observe::{
    error::{ObserveError, root_cause, shown},
    kubernetes::{Address, Cluster, PodFacts},
};

/// How long a Service is kept: a change of its selector is seen within half a minute, and a thousand sources cost the API
/// server 34 reads a second.
const KEPT: Duration = Duration::from_secs(30);
/// Longest wait for the API server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most pods that are asked in one poll: more servers than any JetStream cluster has.
const MOST_PODS: usize = 16;
/// Services kept: far more than direct sources, and a bound.
const MOST_KEPT: usize = 4096;

/// Opens ways within namespaces.
pub struct Doors {
    client: Client,
    cluster: Cluster,
    tenancy: Tenancy,
    services: Mutex<BTreeMap<(String, String), (Instant, Facts)>>,
}

/// Where to ask: the URL with the host as it is to be dialled, and what it is called in messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// Scheme, host and port. The host is the author's when an address is given (certificates name hosts).
    pub url: Url,
    /// The address that the host stands for; none: as DNS says (trusted namespaces and hosts that the admin named).
    pub address: Option<SocketAddr>,
    /// As the author wrote it, without credentials.
    pub shown: String,
}

impl Way {
    /// By DNS.
    #[must_use]
    pub fn open(url: Url) -> Self {
        Self { shown: shown(&url), address: None, url }
    }
}

/// What is kept of a Service.
#[derive(Clone, Debug, PartialEq)]
enum Facts {
    Gone,
    External,
    Inside { selector: BTreeMap<String, String>, ports: Vec<(u16, Port)> },
}

/// A target port.
#[derive(Clone, Debug, PartialEq)]
enum Port {
    Number(u16),
    Name(String),
}

/// The Service of a namespace that a URL's host names: `SERVICE.NAMESPACE`, perhaps with `.svc` and the cluster's domain.
pub(super) fn service_of(url: &Url, namespace: &str) -> Option<String> {
    let host = url.domain()?;
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let (service, within, kind) = (labels.next()?, labels.next()?, labels.next());
    let sound = !service.is_empty() && within == namespace && kind.is_none_or(|kind| kind == "svc");
    sound.then(|| service.to_owned())
}

impl Doors {
    /// Doors of a cluster.
    #[must_use]
    pub fn new(client: Client, cluster: Cluster, tenancy: Tenancy) -> Self {
        Self { client, cluster, tenancy, services: Mutex::default() }
    }

    /// The admin's words.
    #[must_use]
    pub const fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The ways to what a URL of a policy in a confined namespace means; never none.
    pub async fn ways(&self, namespace: &str, url: Url) -> Result<Vec<Way>, ObserveError> {
        if self.tenancy.is_open(&url) {
            return Ok(vec![Way::open(url)]);
        }
        let shown = shown(&url);
        let refused = |why: String| ObserveError::NotAllowed { url: shown.clone(), why };
        let service = service_of(&url, namespace)
            .ok_or_else(|| refused(format!("it names no Service of namespace {namespace}")))?;
        let facts = self.service(namespace, &service).await.map_err(&refused)?;
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses = self.addresses(namespace, &service, &facts, port).map_err(&refused)?;
        let way = |address: SocketAddr| {
            let mut url = url.clone();
            // Fails for URLs without a host alone.
            url.set_port(Some(address.port())).ok();
            Way { url, address: Some(address), shown: shown.clone() }
        };
        Ok(addresses.into_iter().map(way).collect())
    }

    async fn service(&self, namespace: &str, name: &str) -> Result<Facts, String> {
        let key = (namespace.to_owned(), name.to_owned());
        let known = self.services.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, facts)) = known
            && at.elapsed() < KEPT
        {
            return Ok(facts);
        }
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let read = match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(read)) => read,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return Err("arbiter may not read Services: grant the verb get on services".to_owned());
            }
            Ok(Err(error)) => return Err(format!("Service {name} cannot be read: {}", root_cause(&error))),
            Err(_elapsed) => return Err(format!("Service {name} was not read within {} s", TIMEOUT.as_secs())),
        };
        let facts = read.map_or(Facts::Gone, facts_of);
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if services.len() >= MOST_KEPT {
            services.clear();
        }
        services.insert(key, (Instant::now(), facts.clone()));
        Ok(facts)
    }

    /// Addresses of ready pods behind a Service's port; the error is half a sentence.
    fn addresses(&self, namespace: &str, name: &str, facts: &Facts, port: u16) -> Result<Vec<SocketAddr>, String> {
        let (selector, ports) = match facts {
            Facts::Gone => return Err(format!("there is no Service {name} in namespace {namespace}")),
            Facts::External => return Err(format!("Service {name} leads out of the cluster (ExternalName)")),
            Facts::Inside { selector, .. } if selector.is_empty() => {
                return Err(format!("Service {name} has no selector, so that its addresses are anybody's"));
            }
            Facts::Inside { selector, ports } => (selector, ports),
        };
        let target = ports.iter().find(|(number, _)| *number == port).map(|(_, target)| target);
        let target = target.ok_or_else(|| format!("Service {name} has no port {port}"))?;
        let index = self.cluster.read();
        let chosen = |pod: &&PodFacts| pod.ready() && selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v));
        let pods: Vec<&PodFacts> = index.pods(namespace).map(AsRef::as_ref).filter(chosen).collect();
        if pods.is_empty() {
            return Err(format!("no pod of Service {name} is ready"));
        }
        let address = |pod: &&PodFacts| Some(SocketAddr::new(inside(pod.address)?, port_of(pod, target)?));
        let found: Vec<SocketAddr> = pods.iter().filter_map(address).take(MOST_PODS).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        Err(if pods.iter().all(|pod| inside(pod.address).is_some()) {
            format!("no container of Service {name}'s pods has the port that it names")
        } else {
            format!("the pods of Service {name} have no address of their own (hostNetwork, or one that no pod has)")
        })
    }
}

fn facts_of(service: Service) -> Facts {
    let spec = service.spec.unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") || spec.external_name.is_some() {
        return Facts::External;
    }
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        let target = match &port.target_port {
            Some(IntOrString::String(name)) => Port::Name(name.clone()),
            Some(IntOrString::Int(target)) => Port::Number(u16::try_from(*target).ok()?),
            None => Port::Number(number),
        };
        Some((number, target))
    };
    let ports = spec.ports.iter().flatten().filter_map(port).collect();
    Facts::Inside { selector: spec.selector.unwrap_or_default(), ports }
}

fn port_of(pod: &PodFacts, target: &Port) -> Option<u16> {
    match target {
        Port::Number(number) => Some(*number).filter(|number| *number > 0),
        Port::Name(name) => pod.ports.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
    }
}

/// The address of a pod, unless it is its node's or one that only something else than a pod can have: this machine itself,
/// the local link (where clouds keep the credentials of nodes), everybody.
fn inside(address: Address) -> Option<IpAddr> {
    let Address::Own(ip) = address else { return None };
    let ip = ip.to_canonical();
    let special = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    (!special && !local).then_some(ip)
}

#[cfg(test)]
mod tests;
