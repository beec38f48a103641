//! A mutating webhook as others run them: HTTPS on 127.0.0.1, changing pods after every other plugin had its turn.

use std::{path::Path, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    cluster::run,
    lab::{ClusterWide, Lab},
};

/// What it does to a pod: JSON patch operations.
pub(crate) type Change = fn(&Value) -> Value;

/// A webhook that is registered for one namespace, until it is dropped.
pub(crate) struct Webhook {
    server: JoinHandle<()>,
    _registered: ClusterWide,
    _folder: tempfile::TempDir,
}

impl Webhook {
    /// Starts and registers it. The API server must be able to reach 127.0.0.1 of this process, as a local one can.
    pub(crate) async fn start(lab: &Lab, change: Change) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        certificate(folder.path());
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
        let certificate = CertificateDer::from_pem_slice(&read("tls.crt")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(&read("tls.key")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a configuration")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        drop(serve(stream, change).await);
                    }
                });
            }
        });
        let registration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": lab.namespace},
            "webhooks": [{
                "name": "pods.arbiter-test.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": base64(&read("tls.crt"))},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }],
        });
        Self { server, _registered: ClusterWide::apply(&[registration]).await, _folder: folder }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A certificate for 127.0.0.1 that is its own authority.
fn certificate(folder: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-keyout", "tls.key", "-out", "tls.crt", "-days", "1", "-subj", "/CN=webhook"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    run(&mut openssl, None).expect("a certificate");
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).expect("text").as_str().unwrap_or_default().to_owned()
}

/// One request, HTTP/1.1, and its answer.
async fn serve(mut stream: TlsStream<TcpStream>, change: Change) -> std::io::Result<()> {
    let mut read = Vec::new();
    let review: Value = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        if let Some(body) = body(&read) {
            break serde_json::from_slice(body)?;
        }
    };
    let patch = change(&review["request"]["object"]).to_string();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": base64(patch.as_bytes())},
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The body, once all of it is there.
fn body(read: &[u8]) -> Option<&[u8]> {
    let head = read.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&read[..head]).ok()?.to_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    read.get(head + 4..head + 4 + length)
}
