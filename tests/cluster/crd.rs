//! The definition on a real API server: it is accepted (its CEL rules are within the server's budget), refuses what is
//! malformed with a message that helps, and takes what is well-formed.

use std::{collections::BTreeMap, fs, path::PathBuf};

use arbiter::{
    api::{ScalingPolicy, ScalingPolicyStatus, conditions},
    policy::compile,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::support::{cluster, root};

/// Fewest malformed objects, so that a folder that was lost does not pass.
const LEAST_MALFORMED: usize = 35;
const LEAST_WELLFORMED: usize = 6;

/// Name and text of every file of a folder beside this one.
fn files(folder: &str) -> BTreeMap<String, String> {
    let folder: PathBuf = root().join("tests/cluster").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("a text"))).collect()
}

fn policies(client: Client) -> Api<DynamicObject> {
    Api::namespaced_with(client, "default", &ApiResource::erase::<ScalingPolicy>(&()))
}

/// What the API server says to an object that it is only asked about; `None`: it would take it.
async fn refusal(api: &Api<DynamicObject>, text: &str) -> Option<String> {
    let object: DynamicObject = serde_saphyr::from_str(text).expect("an object");
    let asked = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&asked, &object).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("the API server did not answer: {error}"),
    }
}

#[tokio::test]
async fn malformed_objects_are_refused_with_a_message_that_helps() {
    let api = policies(cluster().await.admin().await);
    let files = files("malformed");
    assert!(files.len() >= LEAST_MALFORMED, "only {} malformed objects", files.len());
    let mut wrong = Vec::new();
    for (name, text) in files {
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expected.is_empty(), "{name} does not begin with `# expect: `");
        match refusal(&api, &text).await {
            None => wrong.push(format!("{name} was accepted")),
            Some(message) => {
                let missing = expected.into_iter().filter(|part| !message.contains(part));
                wrong.extend(missing.map(|part| format!("{name}: {part:?} is not in {message:?}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn wellformed_objects_are_stored_and_read_back_as_they_were_written() {
    let cluster = cluster().await;
    let client = cluster.admin().await;
    let (api, typed) = (policies(client.clone()), Api::<ScalingPolicy>::namespaced(client, "default"));
    let files = files("wellformed");
    assert!(files.len() >= LEAST_WELLFORMED, "only {} well-formed objects", files.len());
    for (file, text) in files {
        let mut object: DynamicObject = serde_saphyr::from_str(&text).expect("an object");
        let name = format!("crd-{}", object.name_any());
        object.metadata.name = Some(name.clone());
        // Nobody may act on it: other tests run arbiter in their own namespaces only, and the target does not exist.
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|e| panic!("{file}: {e}"));
        let read = typed.get(&name).await.unwrap_or_else(|e| panic!("{file}: {e}"));
        let written: ScalingPolicy = serde_saphyr::from_str(&text).expect("a policy");
        assert_eq!(read.spec, written.spec, "{file}");
        assert_eq!(compile(&read).is_ok(), compile(&written).is_ok(), "{file}");
        typed.delete(&name, &DeleteParams::default()).await.unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}

#[tokio::test]
async fn status_is_a_subresource_and_fills_the_columns() {
    let cluster = cluster().await;
    let api = Api::<ScalingPolicy>::namespaced(cluster.admin().await, "default");
    let text =
        &files("wellformed").into_iter().find(|(name, _)| name.ends_with("minimal.yaml")).expect("minimal.yaml").1;
    let mut policy: ScalingPolicy = serde_saphyr::from_str(text).expect("a policy");
    policy.metadata.name = Some("crd-status".into());
    policy.status = Some(ScalingPolicyStatus::default());
    let created = api.create(&PostParams::default(), &policy).await.expect("created");
    assert_eq!(created.status, None, "status is written through its subresource only");

    let mut conditions = Vec::new();
    let ready = conditions::NewCondition {
        type_: conditions::ConditionType::Ready,
        status: conditions::ConditionStatus::True,
        reason: "Understood",
        message: "all fields are understood",
    };
    conditions::set(
        &mut conditions,
        &ready,
        created.metadata.generation,
        "2026-02-03T10:00:00Z".parse().expect("a time"),
    );
    let status = json!({"status": {
        "conditions": conditions,
        "replicas": {"current": 7, "ready": 7, "desired": 9},
        "containers": [
            {"name": "app", "desired": {"requests": {"cpu": "1200m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}},
            {"name": "proxy", "desired": {"requests": {"cpu": "100m", "memory": "64Mi"}}},
        ],
        "decision": {"time": "2026-02-03T10:00:00Z", "reason": "CpuDemand", "message": "a sentence"},
        "signals": [{"name": "requests", "role": "Demand", "state": "Fresh", "sampleTime": "2026-02-03T09:59:48Z"}],
        "displaced": [{"kind": "HorizontalPodAutoscaler", "name": "web"}],
    }});
    let written =
        api.patch_status("crd-status", &PatchParams::default(), &Patch::Merge(&status)).await.expect("written");
    assert_eq!(serde_json::to_value(&written.status).expect("JSON"), status["status"]);
    let table = cluster.kubectl(&["get", "spol", "crd-status", "--namespace=default"], None);
    api.delete("crd-status", &DeleteParams::default()).await.expect("deleted");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "TARGET", "MODE", "REPLICAS", "DESIRED", "CPU", "MEMORY", "REASON", "AGE"]);
    assert_eq!(rows[1][..8], ["crd-status", "web", "Recommend", "7", "9", "1200m", "256Mi", "CpuDemand"], "{table}");
}
