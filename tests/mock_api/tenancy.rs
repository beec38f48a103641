//! Ways of a direct source out of its namespace by what Services and pods say, one test each: none is dialled.

use arbiter::observe::{
    kubernetes::{Cluster, index::Watched as _, objects::PodObject},
    signals::nats_jetstream::{Consumer, NatsMonitor},
    tenancy::{Doors, Tenancy, Way},
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::server::{Asked, Log, client};

/// A pod of a namespace with label `app: nats`, ready.
fn pod(namespace: &str, name: &str, ip: &str, spec: &Value) -> PodObject {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": name, "labels": {"app": "nats"}},
        "spec": spec,
        "status": {"phase": "Running", "podIP": ip, "hostIP": "10.9.9.9",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-02-03T10:00:00Z"}]},
    }))
    .unwrap()
}

fn containers() -> Value {
    json!({"containers": [{"name": "nats", "ports": [{"name": "monitor", "containerPort": 8222}]}]})
}

fn service(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "nats"}, "spec": spec})
}

fn ordinary() -> Value {
    service(&json!({"selector": {"app": "nats"}, "ports": [{"port": 80, "targetPort": "monitor"}]}))
}

/// Doors of a cluster with these pods whose API server gives this Service, and what it was asked.
fn doors(pods: impl IntoIterator<Item = PodObject>, service: Option<Value>) -> (Doors, Cluster, Log) {
    let cluster = Cluster::default();
    for pod in pods {
        pod.keep(&mut cluster.write());
    }
    let (client, log) = client(move |_: &Asked| {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": ""});
        Some(service.clone().map_or((404, gone), |service| (200, service)))
    });
    (Doors::new(client, cluster.clone(), Tenancy::new([], Vec::new(), [])), cluster, log)
}

async fn ways(doors: &Doors, url: &str) -> Result<Vec<String>, String> {
    let address = |way: &Way| way.address.map(|a| a.to_string()).unwrap_or_default();
    let ways = doors.ways("shop", url.parse().unwrap()).await.map_err(|e| e.to_string())?;
    Ok(ways.iter().map(address).collect())
}

async fn refused(pods: impl IntoIterator<Item = PodObject>, service: Option<Value>, why: &str) {
    let (doors, _, _) = doors(pods, service);
    let said = ways(&doors, "http://nats.shop").await.unwrap_err();
    assert!(said.contains("so that http://nats.shop is not asked") && said.contains(why), "{said}");
}

#[tokio::test]
async fn a_service_leads_to_its_ready_pods_and_is_read_once() {
    let other = pod("bank", "nats-0", "10.0.2.1", &containers());
    let (doors, cluster, log) = doors(
        [pod("shop", "nats-0", "10.0.1.1", &containers()), pod("shop", "nats-1", "10.0.1.2", &containers()), other],
        Some(ordinary()),
    );
    for url in ["http://nats.shop", "http://nats.shop.svc:80", "http://nats.shop.svc.cluster.local"] {
        assert_eq!(ways(&doors, url).await.unwrap(), ["10.0.1.1:8222", "10.0.1.2:8222"]);
    }
    assert_eq!(log.count(&http::Method::GET), 1);
    assert_eq!(log.all()[0].path, "/api/v1/namespaces/shop/services/nats");
    // An address that went to another pod is not asked from then on, whatever is kept of the Service.
    PodObject::forget(&mut cluster.write(), "shop", "nats-0");
    assert_eq!(ways(&doors, "http://nats.shop").await.unwrap(), ["10.0.1.2:8222"]);
}

#[tokio::test]
async fn an_external_name_leads_nowhere() {
    let service = service(&json!({"type": "ExternalName", "externalName": "nats.bank.svc.cluster.local"}));
    refused([pod("shop", "nats-0", "10.0.1.1", &containers())], Some(service), "ExternalName").await;
}

#[tokio::test]
async fn hand_written_endpoints_are_not_looked_at() {
    let service = service(&json!({"ports": [{"port": 80}]}));
    refused([pod("shop", "nats-0", "10.0.1.1", &containers())], Some(service), "has no selector").await;
}

#[tokio::test]
async fn a_pod_on_its_nodes_network_is_passed_over() {
    let on_node = json!({"hostNetwork": true, "containers": [{"name": "nats", "ports": [{"name": "monitor", "containerPort": 8222}]}]});
    refused([pod("shop", "nats-0", "10.9.9.9", &on_node)], Some(ordinary()), "hostNetwork").await;
    refused([pod("shop", "nats-0", "10.9.9.9", &containers())], Some(ordinary()), "hostNetwork").await;
}

#[tokio::test]
async fn a_pod_at_an_address_of_the_machine_or_of_the_link_is_passed_over() {
    for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1"] {
        refused([pod("shop", "nats-0", ip, &containers())], Some(ordinary()), "no address of their own").await;
    }
}

#[tokio::test]
async fn pods_of_another_namespace_and_services_that_are_not_there_lead_nowhere() {
    refused([pod("bank", "nats-0", "10.0.2.1", &containers())], Some(ordinary()), "no pod of Service nats is ready")
        .await;
    refused([], None, "there is no Service nats in namespace shop").await;
    let (doors, _, log) = doors([pod("bank", "nats-0", "10.0.2.1", &containers())], Some(ordinary()));
    for url in ["http://nats.bank", "http://10.0.2.1:8222", "http://[::ffff:10.0.2.1]:8222", "http://nats"] {
        let said = ways(&doors, url).await.unwrap_err();
        assert!(said.contains("it names no Service of namespace shop"), "{said}");
    }
    assert_eq!(log.all().len(), 0, "the API server is not asked about another namespace");
}

#[tokio::test]
async fn a_confined_consumer_is_not_asked_without_doors() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let error = NatsMonitor::new(None).unwrap().backlog(&consumer("shop", url)).await.unwrap_err();
    assert_eq!(error.category(), "not_allowed");
    assert!(listener.accept().is_err(), "somebody connected");
}

#[tokio::test]
async fn the_api_servers_refusal_is_a_sentence() {
    let (client, _) = client(|_: &Asked| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
        Some((403, status))
    });
    let doors = Doors::new(client, Cluster::default(), Tenancy::new([], Vec::new(), []));
    let said = ways(&doors, "http://nats.shop").await.unwrap_err();
    assert!(said.contains("arbiter may not read Services: grant the verb get on services"), "{said}");
}

/// A server of NATS's monitoring endpoints with an id, the name that it gives itself, and the leader that it tells of.
async fn nats(id: &str, name: &str, leader: &str) -> MockServer {
    let server = MockServer::start().await;
    let consumer = json!({"name": "c", "num_pending": 7, "num_ack_pending": 0, "cluster": {"leader": leader}});
    let jsz = json!({"server_id": id, "account_details": [{"name": "$G", "stream_detail": [{"name": "S", "consumer_detail": [consumer]}]}]});
    Mock::given(path("/jsz")).respond_with(ResponseTemplate::new(200).set_body_json(jsz)).mount(&server).await;
    let varz = json!({"server_id": id, "server_name": name});
    Mock::given(path("/varz")).respond_with(ResponseTemplate::new(200).set_body_json(varz)).mount(&server).await;
    server
}

fn consumer(namespace: &str, url: String) -> Consumer {
    Consumer {
        within: Some(namespace.to_owned()),
        urls: vec![url],
        account: "$G".to_owned(),
        stream: "S".to_owned(),
        consumer: "c".to_owned(),
    }
}

/// A monitor that may ask this machine, which no Service leads to.
fn monitor() -> NatsMonitor {
    let (client, _) = client(|_: &Asked| None);
    let tenancy = Tenancy::new([], Vec::new(), ["127.0.0.1".to_owned()]);
    NatsMonitor::new(Some(Doors::new(client, Cluster::default(), tenancy))).unwrap()
}

#[tokio::test]
async fn what_a_server_of_one_namespace_says_of_itself_is_not_believed_in_another() {
    let (evil, honest) = (nats("ID", "evil", "evil").await, nats("ID", "n1", "n1").await);
    let monitor = monitor();
    assert_eq!(monitor.backlog(&consumer("shop", evil.uri())).await, Ok(7.0));
    assert_eq!(monitor.backlog(&consumer("bank", honest.uri())).await, Ok(7.0), "its leader is known by its own name");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (goal, server) = (nats("ID", "n1", "n1").await, MockServer::start().await);
    let away = ResponseTemplate::new(302).insert_header("location", format!("{}/jsz", goal.uri()));
    Mock::given(path("/jsz")).respond_with(away).mount(&server).await;
    let said = monitor().backlog(&consumer("shop", server.uri())).await.unwrap_err().to_string();
    assert!(said.contains("HTTP 302"), "{said}");
    assert_eq!(goal.received_requests().await.unwrap().len(), 0, "the redirect was followed");
}
