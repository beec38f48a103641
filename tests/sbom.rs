//! The bill of materials names everything that the binary is made of, with its licence, and is the same every time.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

/// What the image is built for; `cargo tree` needs no toolchain of it.
const TARGET: &str = "x86_64-unknown-linux-musl";

fn output(command: &mut Command) -> String {
    let output =
        command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bill() -> String {
    output(&mut Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image/sbom")))
}

/// `name@version` of the packages in cargo's own tree, the program itself included.
fn tree(edges: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--target", TARGET, "--edges", edges, "--prefix", "none", "--format", "{p}"]);
    let text = output(&mut tree);
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{}@{}", words.next()?, words.next()?.trim_start_matches('v')))
    };
    text.lines().filter_map(package).collect()
}

fn named(component: &Value) -> String {
    format!("{}@{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
}

#[test]
fn it_names_every_package_of_the_binary_and_is_the_same_every_time() {
    let text = bill();
    assert_eq!(text, bill());
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let components = bill["components"].as_array().unwrap();
    let all: BTreeSet<String> = components.iter().chain([&bill["metadata"]["component"]]).map(named).collect();
    let missing: Vec<_> = tree("normal").difference(&all).cloned().collect();
    assert!(missing.is_empty(), "not in the bill: {missing:?}");

    // What is linked, and what only builds it.
    let linked = |c: &&Value| c["scope"] == "required" && c["name"] != "rust-std";
    let mut required: BTreeSet<String> = components.iter().filter(linked).map(named).collect();
    required.insert(named(&bill["metadata"]["component"]));
    assert_eq!(required, tree("normal,no-proc-macro"));
    assert!(required.len() > 100 && required.iter().any(|name| name.starts_with("aws-lc-sys@")), "{required:?}");
    assert!(!required.iter().any(|name| name.starts_with("serde_derive@")), "it runs in the compiler");
}

#[test]
fn every_component_has_a_licence_and_a_checksum_and_its_dependencies_are_in_the_bill() {
    let bill: Value = serde_json::from_str(&bill()).unwrap();
    let components = bill["components"].as_array().unwrap();
    let known: BTreeSet<&str> =
        components.iter().chain([&bill["metadata"]["component"]]).map(|c| c["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(known.len(), components.len() + 1, "two components have one reference");
    for component in components {
        let expression = component["licenses"][0]["expression"].as_str().unwrap_or_default();
        assert!(!expression.is_empty() && !expression.contains('/'), "{component}");
        let checksum = component["hashes"][0]["content"].as_str().unwrap_or_default();
        assert!(component["name"] == "rust-std" || checksum.len() == 64, "{component}");
    }
    let dependencies = bill["dependencies"].as_array().unwrap();
    for dependency in dependencies {
        let on = dependency["dependsOn"].as_array().unwrap().iter();
        for reference in on.chain([&dependency["ref"]]) {
            assert!(known.contains(reference.as_str().unwrap()), "{reference} is not in the bill");
        }
    }
    let root = dependencies.iter().find(|d| d["ref"] == bill["metadata"]["component"]["bom-ref"]).unwrap();
    assert!(root["dependsOn"].as_array().unwrap().iter().any(|r| r.as_str().unwrap().starts_with("pkg:cargo/kube@")));
}
