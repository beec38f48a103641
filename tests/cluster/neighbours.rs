//! Somebody else writes `replicas`: a person, a Git tool at each sync, a deploy, a loop that does not give up. Growth never
//! waits for any of them, and only who undoes our writes again and again is called a rival.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    specs::{self, with},
    support::{Emulator, EmulatorOptions, Profile, Scene, WEB, Workload, await_that, holds_for, run, template},
};

/// Three cores of load: six half-core pods and more.
const BUSY: f64 = 60.0;
const CALM: f64 = 10.0;
/// When a write is known to be no part of a deploy (`decide::foreign`), and the pace of status writes after a burst.
const KNOWN: u64 = 30 + 150;

/// A busy workload that arbiter has grown.
async fn grown(scene: &Scene) -> (Emulator, u32) {
    let options = EmulatorOptions { rate: BUSY, ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload { replicas: 3, ..Workload::default() }, &options).await;
    scene.usage_known(3).await;
    (emulator, 6)
}

async fn regrown(scene: &Scene, least: u32) {
    await_that("growth restored", 60, || scene.replicas(), |n| *n >= least).await;
}

async fn control(scene: &Scene) -> String {
    scene.condition(WEB, "InControl").await
}

/// The manifest in Git, with or without a count.
fn manifest(scene: &Scene, replicas: Option<u32>, version: Option<&str>) -> Value {
    let mut pods = template(WEB, &scene.namespace, Workload::default());
    if let Some(version) = version {
        pods["metadata"]["annotations"] = json!({"version": version});
    }
    let mut spec = json!({"selector": {"matchLabels": {"app": WEB}}, "template": pods});
    if let Some(replicas) = replicas {
        spec["replicas"] = replicas.into();
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WEB}, "spec": spec})
}

#[tokio::test]
async fn a_person_who_scales_up_step_by_step_is_no_rival() {
    let scene = Scene::new("person", Profile::Auto).await;
    let (_emulator, least) = grown(&scene).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let arbiter = scene.arbiter("one", &[]).await;
    regrown(&scene, least).await;
    let (before, _) = scene.settled(15).await;
    let history = scene.history().await;
    for step in 1..=4 {
        let count = before + 2 * step;
        scene.kubectl(&["scale", "deployment", WEB, &format!("--replicas={count}")], None);
        let current = async || arbiter.replicas(&scene.namespace, WEB, "current").await;
        await_that("the person's count seen", 60, current, |n| *n == Some(count)).await;
    }
    assert!(!history.fell(), "{:?}", history.counts());
    // Held as long as an idle replica is, given back then; nobody is accused of anything.
    await_that("given back", 180, || scene.replicas(), |n| *n <= before + 1).await;
    assert!(control(&scene).await.starts_with("True"), "{}", control(&scene).await);
}

#[tokio::test]
async fn git_that_resets_replicas_at_each_sync_is_named_and_does_not_block_growth() {
    let scene = Scene::new("git", Profile::Auto).await;
    let (emulator, least) = grown(&scene).await;
    scene.apply("kustomize-controller", &manifest(&scene, Some(3), None));
    // Said before anything is taken over.
    scene.policy(WEB, with(specs::replicas_only(&scene), json!({"mode": "Recommend"}))).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    let kept = |c: &String| c.contains("its spec.replicas is kept in Git by Flux") && c.contains("arbiter import");
    await_that("Ready saying who keeps the count", 120, || scene.condition(WEB, "Ready"), kept).await;

    scene.policy(WEB, specs::replicas_only(&scene)).await;
    for _sync in 0..3 {
        regrown(&scene, least).await;
        // Syncs are minutes apart; one that comes before our own write was seen cannot be told from a write that never came.
        holds_for("the count between two syncs", 3, || scene.replicas(), |n| *n >= least).await;
        scene.apply("kustomize-controller", &manifest(&scene, Some(3), None));
    }
    regrown(&scene, least).await;
    let rival = |c: &String| c.starts_with("False/RivalWrites") && c.contains("kustomize-controller");
    let said = await_that("InControl naming the writer", KNOWN, || control(&scene), rival).await;
    assert!(said.contains("not shrinking, growing if needed"), "{said}");

    // A truce: nothing leaves, however little there is to do; and growth goes on.
    let (before, _) = scene.settled(10).await;
    emulator.load(json!({"rate": CALM})).await;
    holds_for("nothing leaves", 60, || scene.replicas(), |n| *n >= before).await;
    emulator.load(json!({"rate": 3.0 * BUSY})).await;
    await_that("growth", 90, || scene.replicas(), |n| *n > before + 3).await;
    assert!(control(&scene).await.starts_with("False/RivalWrites"), "{}", control(&scene).await);

    // Its fix, in the order that import prints: we own the count, so Git may let go of it.
    let count = scene.replicas().await;
    scene.apply("kustomize-controller", &manifest(&scene, None, None));
    assert!(scene.replicas().await >= count, "letting go reset the count");
}

#[tokio::test]
async fn deploys_that_carry_a_count_are_no_rival_however_often_they_come() {
    let scene = Scene::new("deploys", Profile::Auto).await;
    let (_emulator, least) = grown(&scene).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    for version in ["2", "3", "4", "5"] {
        regrown(&scene, least).await;
        scene.apply("helm", &manifest(&scene, Some(3), Some(version)));
    }
    regrown(&scene, least).await;
    holds_for("nobody accused", 60, || control(&scene), |c| c.starts_with("True")).await;
}

#[tokio::test]
async fn a_rival_in_a_loop_is_named_and_with_reassert_written_over() {
    let scene = Scene::new("loop", Profile::Auto).await;
    let (_emulator, least) = grown(&scene).await;
    let spec = with(specs::replicas_only(&scene), json!({"onRival": "Reassert"}));
    scene.policy(WEB, spec).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    regrown(&scene, least).await;
    let rival = async {
        loop {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let patch = json!({"spec": {"replicas": 2}}).to_string();
            scene.kubectl(
                &["patch", "deployment", WEB, "--type=merge", "--field-manager=night-saver", "-p", &patch],
                None,
            );
        }
    };
    let named = |c: &String| {
        c.starts_with("False/RivalWrites: night-saver") && c.contains("written through (spec.onRival: Reassert)")
    };
    tokio::select! {
        () = rival => {}
        said = await_that("InControl naming the loop", 240, || control(&scene), named) => drop(said),
    }
    regrown(&scene, least).await;
}

/// A chart with one workload, whose count is written so.
fn chart(scene: &Scene, count: &str) -> std::path::PathBuf {
    let folder = scene.cluster.dir().join(format!("{}-chart", scene.namespace));
    std::fs::create_dir_all(folder.join("templates")).expect("a chart");
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n").expect("a chart");
    std::fs::write(folder.join("values.yaml"), "replicaCount: 3\n").expect("a chart");
    let pods = template(WEB, &scene.namespace, Workload::default());
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {WEB}}}\nspec:\n{count}\n  selector: {{matchLabels: {{app: {WEB}}}}}\n  template: {pods}\n"
    );
    std::fs::write(folder.join("templates/web.yaml"), text).expect("a chart");
    folder
}

fn upgrade(scene: &Scene, count: &str) {
    let mut helm = scene.cluster.program("helm");
    helm.arg("--kubeconfig").arg(scene.cluster.admin_kubeconfig()).args(["--namespace", &scene.namespace]);
    helm.args(["upgrade", "--install", "web"]).arg(chart(scene, count));
    run(&mut helm, None).expect("helm upgrade");
}

/// The template that `arbiter import` prints for Helm.
const KEEPS: &str = "  {{- $live := lookup \"apps/v1\" \"Deployment\" .Release.Namespace \"web\" }}\n  replicas: {{ if $live }}{{ $live.spec.replicas }}{{ else }}{{ .Values.replicaCount }}{{ end }}";

#[tokio::test]
async fn a_chart_with_the_printed_template_leaves_the_count_alone() {
    let scene = Scene::new("chart", Profile::Auto).await;
    upgrade(&scene, "  replicas: {{ .Values.replicaCount }}");
    assert_eq!(scene.replicas().await, 3);
    let options = EmulatorOptions { rate: BUSY, ..EmulatorOptions::default() };
    let _emulator = scene.emulate(3, &options).await;
    scene.usage_known(3).await;
    scene.policy(WEB, specs::replicas_only(&scene)).await;
    let _arbiter = scene.arbiter("one", &[]).await;
    regrown(&scene, 6).await;
    let (count, _) = scene.settled(15).await;
    let history = scene.history().await;
    upgrade(&scene, KEEPS);
    // arbiter may grow meanwhile; what a chart could write of its own is less: its value 3, or 1 where it has none.
    assert!(history.counts().iter().all(|seen| *seen >= count), "the chart took from {count}: {:?}", history.counts());
    // What the text warns of: left out, the count goes to 1 at that upgrade, and is grown back.
    upgrade(&scene, "  replicas: {{ .Values.replicaCount }}");
    regrown(&scene, 6).await;
    upgrade(&scene, "");
    await_that("the reset", 30, async || history.counts(), |counts| counts.contains(&1)).await;
    regrown(&scene, 6).await;
    assert!(control(&scene).await.starts_with("True"), "{}", control(&scene).await);
}
