//! What keeps a command from starting is one sentence and an exit code of its own, before anything is done.

use std::{
    fs,
    process::{Command, Output},
};

/// Runs arbiter with a kubeconfig and answers what came of it.
fn arbiter(kubeconfig: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arbiter"))
        .env("KUBECONFIG", kubeconfig)
        .args(arguments)
        .output()
        .expect("the binary was built for this test")
}

/// Asserts exit code 3 and one line on stderr that holds the words.
fn refuses(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` in: {message}");
    }
    assert!(output.stdout.is_empty());
}

const RUN: [&str; 5] = ["run", "--listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"];

#[test]
fn a_kubeconfig_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("config");
    let name = file.to_str().expect("UTF-8");
    refuses(&arbiter(name, &RUN), &[name, "No such file", "check KUBECONFIG"]);
    fs::write(&file, "clusters: [\n").expect("a file");
    refuses(&arbiter(name, &RUN), &[name, "line 1", "check KUBECONFIG"]);
}

#[test]
fn an_api_server_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("config");
    let cluster = "{name: c, cluster: {server: \"http://127.0.0.1:9\"}}";
    let context = "{name: c, context: {cluster: c, user: u}}";
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{cluster}], contexts: [{context}], users: [{{name: u, user: {{}}}}]}}"
    );
    fs::write(&file, text).expect("a file");
    refuses(&arbiter(file.to_str().expect("UTF-8"), &RUN), &["http://127.0.0.1:9", "refused"]);
}
