//! A policy of one namespace reaches for another one's series, pods, addresses and Secrets, on a real control plane.

use std::{
    net::{IpAddr, TcpListener, UdpSocket},
    process::Command,
};

use arbiter::observe::kubernetes::index::Kind;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{Exporter, Profile, Scene, Workload, await_some, await_that};

/// What the other tenant's exporter and queue say: a number that is nowhere else.
const SECRET: u64 = 31_337;
/// What the own ones say.
const OWN: u64 = 7;

/// Nobody is trusted.
const CONFINED: &[&str] = &["--trusted-namespace=nobody"];

/// A `/jsz` of a server that stands alone.
fn jsz(pending: u64) -> Value {
    json!({"server_id": "A", "account_details": [{"name": "$G", "stream_detail": [
        {"name": "S", "consumer_detail": [{"name": "c", "num_pending": pending, "num_ack_pending": 0}]}]}]})
}

/// An address of this machine that is not its loopback.
fn own_address() -> IpAddr {
    // Choosing a way out sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    if socket.connect("198.51.100.1:9").is_ok() {
        return socket.local_addr().expect("an address").ip();
    }
    // A machine without a network gets an address that is none of its loopback's, which takes root.
    let address = IpAddr::from([10, 254, 254, 254]);
    let added = Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"]).output();
    let bound = TcpListener::bind((address, 0));
    assert!(bound.is_ok(), "these tests need a network interface, or root and ip(8): {added:?}");
    address
}

/// A server at an address that answers everything with this backlog and counts who asks.
async fn server(ip: IpAddr, pending: u64) -> MockServer {
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    let server = MockServer::builder().listener(listener).start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(jsz(pending))).mount(&server).await;
    server
}

fn queue(url: &str) -> Value {
    json!({"name": "queue", "role": "Backlog", "natsJetStream": {"monitoringUrls": [url], "stream": "S", "consumer": "c"}})
}

fn promql(query: &str) -> Value {
    json!({"name": "load", "role": "Demand", "prometheus": {"query": query}})
}

/// A workload and a policy on it with one signal.
async fn policy(scene: &Scene, name: &str, signal: &Value) {
    scene.deployment(name, Workload { replicas: 1, emulated: false, ..Workload::default() }).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    scene.policy(name, json!({"targetRef": target, "mode": "Auto", "signals": [signal]})).await;
}

/// Waits for a condition that begins so and holds these words; gives the whole status.
async fn says(scene: &Scene, name: &str, condition: &str, words: &[&str]) -> String {
    let what = format!("{name}: {condition} with {words:?}");
    let holds = |c: &String| words.iter().all(|word| c.contains(word));
    await_that(&what, 60, || scene.condition(name, condition), holds).await;
    scene.status(name).await.to_string()
}

#[tokio::test]
async fn a_query_sees_its_own_namespace_only() {
    let scene = Scene::new("tenant-query", Profile::Auto).await;
    let own = scene.namespace.clone();
    let text = move |_: f64, _: i64| {
        format!(
            "work{{namespace=\"{own}\"}} {OWN}\nwork{{namespace=\"bank\"}} {SECRET}\nsecret{{namespace=\"bank\"}} {SECRET}\n"
        )
    };
    let exporter = Exporter::start(text).await;
    scene.prometheus.scrape(&[exporter.address()]);
    await_some("the exporter's series", 60, || async {
        let rows = scene.prometheus.query("secret").await?;
        if rows[0]["value"][1].as_str() == Some(SECRET.to_string().as_str()) { Ok(()) } else { Err(rows.to_string()) }
    })
    .await;
    let refused = [
        ("equal", r#"work{namespace="bank"}"#),
        ("pattern", r#"work{namespace=~".*"}"#),
        ("inside", r#"max_over_time(secret{namespace!=""}[1m:5s])"#),
        ("parameter", r#"topk(scalar(secret{namespace="bank"}), work)"#),
        ("or", r#"work or secret{namespace="bank"}"#),
        ("escape", r#"work{namespace="\u0062ank"}"#),
        ("quoted", r#"{"namespace"="bank", __name__="secret"}"#),
        ("info", "info(secret)"),
        ("panic", r#"work{app="\é"}"#),
    ];
    // These are sent, and find nothing: confined, they name series that are not there.
    let empty = [
        ("plain", "sum(secret)"),
        ("any-name", r#"{__name__="secret"}"#),
        ("comment", "secret # {namespace=\"bank\"}"),
        ("value", r#"secret{app!="\"} or secret{namespace=\"bank"}"#),
    ];
    for (name, query) in refused.iter().chain(&empty) {
        policy(&scene, name, &promql(query)).await;
    }
    let own = json!({"name": "load", "role": "Backlog", "prometheus": {"query": "sum(work)"}});
    policy(&scene, "own", &own).await;
    let mut arbiter = scene.arbiter("one", CONFINED).await;
    arbiter.decided(&scene.namespace, "own").await;
    for (name, _) in &refused {
        let status = says(&scene, name, "Ready", &["False/", "spec.signals[0].prometheus.query: "]).await;
        assert!(!status.contains(&SECRET.to_string()), "{name}: {status}");
    }
    for (name, _) in &empty {
        let status = says(&scene, name, "SignalsFresh", &["False/Absent", "`load`"]).await;
        assert!(!status.contains(&SECRET.to_string()), "{name}: {status}");
    }
    // Its own series are read.
    let labels = [format!("namespace=\"{}\"", scene.namespace), "policy=\"own\"".to_owned()];
    let read = |line: &str| line.starts_with("arbiter_backlog") && labels.iter().all(|label| line.contains(label));
    let value = async || arbiter.metrics().await.expect("metrics").lines().find(|l| read(l)).map(str::to_owned);
    let seen = |line: &Option<String>| line.as_ref().is_some_and(|l| l.ends_with(&format!(" {OWN}.0")));
    await_that("the own backlog", 60, value, seen).await;
    let metrics = arbiter.metrics().await.expect("metrics");
    assert!(!metrics.contains(&SECRET.to_string()), "a value of another namespace is in the metrics");
}

/// Objects that lead somewhere else, by name: what a tenant may create in its namespace.
fn services(scene: &Scene, elsewhere: &MockServer) {
    let port = elsewhere.address().port();
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    scene.apply("tenant", &service("external", json!({"type": "ExternalName", "externalName": "localhost"})));
    scene.apply("tenant", &service("by-hand", json!({"ports": [{"port": port}]})));
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "by-hand-1", "labels": {"kubernetes.io/service-name": "by-hand"}},
        "ports": [{"port": port}], "endpoints": [{"addresses": [elsewhere.address().ip().to_string()]}],
    });
    scene.apply("tenant", &slice);
    for name in ["on-node", "of-link", "nats"] {
        let ports = json!([{"port": 8222, "targetPort": "monitor"}]);
        scene.apply("tenant", &service(name, json!({"selector": {"serves": name}, "ports": ports})));
    }
}

/// A running pod behind a Service of the same name; `address` takes the place of the one that its node gave it.
fn pod(scene: &Scene, name: &str, port: u16, on_node: bool, address: Option<IpAddr>) {
    let container = json!({"name": "nats", "image": "nats", "ports": [{"name": "monitor", "containerPort": port}]});
    scene.apply(
        "tenant",
        &json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"serves": name}},
            "spec": {"hostNetwork": on_node, "nodeSelector": {"type": "kwok"}, "containers": [container],
                "tolerations": [{"operator": "Exists"}]},
        }),
    );
    scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod", name], None);
    if let Some(address) = address {
        let patch = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}}).to_string();
        scene.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "-p", &patch], None);
    }
}

#[tokio::test]
async fn a_direct_source_reaches_pods_of_its_namespace_only() {
    let scene = Scene::new("tenant-url", Profile::Auto).await;
    let (ip, loopback) = (own_address(), IpAddr::from([127, 0, 0, 1]));
    let (elsewhere, local, own) = (server(ip, SECRET).await, server(loopback, SECRET).await, server(ip, OWN).await);
    services(&scene, &elsewhere);
    pod(&scene, "on-node", elsewhere.address().port(), true, None);
    pod(&scene, "of-link", local.address().port(), false, Some(loopback));
    pod(&scene, "nats", own.address().port(), false, Some(ip));
    let (port, ns) = (elsewhere.address().port(), &scene.namespace);
    let refused = [
        ("address", elsewhere.uri()),
        ("loopback", local.uri()),
        ("mapped", format!("http://[::ffff:127.0.0.1]:{}", local.address().port())),
        ("metadata", "http://169.254.169.254".to_owned()),
        ("other", "http://nats.bank:8222".to_owned()),
        ("short", "http://nats:8222".to_owned()),
        ("suffix", format!("http://nats.{ns}.example.org:8222")),
    ];
    let led_nowhere = [
        ("external", format!("http://external.{ns}:{port}"), "ExternalName"),
        ("by-hand", format!("http://by-hand.{ns}:{port}"), "has no selector"),
        ("on-node", format!("http://on-node.{ns}:8222"), "hostNetwork"),
        ("of-link", format!("http://of-link.{ns}:8222"), "no address of their own"),
        ("nobody", format!("http://nobody.{ns}:8222"), "there is no Service nobody"),
    ];
    for (name, url) in &refused {
        policy(&scene, &format!("p-{name}"), &queue(url)).await;
    }
    for (name, url, _) in &led_nowhere {
        policy(&scene, &format!("p-{name}"), &queue(url)).await;
    }
    policy(&scene, "p-own", &queue(&format!("http://nats.{ns}:8222"))).await;
    let _arbiter = scene.arbiter("one", CONFINED).await;
    let silent = |status: &str| !status.contains(&SECRET.to_string());
    for (name, _) in &refused {
        let words =
            ["False/NotAllowed", "spec.signals[0].natsJetStream.monitoringUrls[0]: names no Service of namespace"];
        let status = says(&scene, &format!("p-{name}"), "Ready", &words).await;
        assert!(silent(&status), "{name}: {status}");
    }
    for (name, _, why) in &led_nowhere {
        let status = says(&scene, &format!("p-{name}"), "SignalsFresh", &["False/", why]).await;
        assert!(silent(&status), "{name}: {status}");
    }
    await_that(
        "its own queue asked",
        60,
        || async { own.received_requests().await.map_or(0, |r| r.len()) },
        |n| *n > 2,
    )
    .await;
    says(&scene, "p-own", "Ready", &["True/"]).await;
    for (what, server) in [("the machine's address", &elsewhere), ("the loopback", &local)] {
        let asked = server.received_requests().await.unwrap_or_default();
        assert!(asked.is_empty(), "{what} was asked: {asked:?}");
    }
}

#[tokio::test]
async fn a_secret_of_another_namespace_is_not_read() {
    let scene = Scene::new("tenant-secret", Profile::Auto).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nats"}, "stringData": {"password": "hunter2"}});
    scene.cluster.kubectl(&["apply", "-n", "arbiter-system", "-f", "-"], Some(&secret.to_string()));
    scene.apply("tenant", &secret);
    for (name, secret) in [("other", "arbiter-system/nats"), ("own", "nats"), ("up", "../arbiter-system/nats")] {
        let mut signal = queue("http://nats.shop:8222");
        signal["natsJetStream"]["authSecretRef"] = json!({"name": secret});
        policy(&scene, name, &signal).await;
    }
    // A namespace next to the name is no field, which the API server says.
    let mut signal = queue("http://nats.shop:8222");
    signal["natsJetStream"]["authSecretRef"] = json!({"name": "nats", "namespace": "arbiter-system"});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "own"});
    let object = json!({"apiVersion": "autoscaling.arbiter.io/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "namespace"}, "spec": {"targetRef": target, "signals": [signal]}});
    let refused = scene.policies().patch("namespace", &PatchParams::apply("tenant"), &Patch::Apply(&object)).await;
    let refused = refused.expect_err("a field that there is not").to_string();
    assert!(refused.contains("authSecretRef.namespace"), "{refused}");
    let _arbiter = scene.arbiter("one", &[]).await;
    for name in ["other", "own", "up"] {
        let words =
            ["False/NotYetSupported", "spec.signals[0].natsJetStream.authSecretRef: reading credentials from a Secret"];
        let status = says(&scene, name, "Ready", &words).await;
        assert!(!status.contains("hunter2"), "{status}");
    }
    let asked: Vec<_> = scene.audit().into_iter().filter(|event| event.resource == "secrets").collect();
    assert_eq!(asked, [], "arbiter asked for Secrets");
    let may = scene
        .cluster
        .program("kubectl")
        .arg("--kubeconfig")
        .arg(scene.kubeconfig())
        .args(["auth", "can-i", "get", "secrets", "--all-namespaces"])
        .output()
        .expect("kubectl");
    assert_eq!(String::from_utf8_lossy(&may.stdout).trim(), "no");
    assert!(Kind::ALL.iter().all(|kind| kind.plural() != "secrets"), "Secrets are watched");
}
