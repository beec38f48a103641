//! What a block with objects goes through once its faults are over and all has come to what it should: its process is told
//! to end, which writes down what it remembers; the next one finds more objects than it needs and takes one away. A kill
//! waits at both writes. What the histories come to must be as without.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    api::End,
    block::{Block, References, SETTLED, Scene},
};
use crate::support::Profile;

/// The label of objects that hold what is remembered, as the controller has it (`controller::checkpoint`).
const LABEL: &str = "autoscaling.arbiter.io/memory-of";
/// An object of a time with four of them; for twenty policies one is enough.
const FOURTH: u64 = 3;
/// Until both kills were done. A process that has nothing new to write when it is told to end leaves the first one to its
/// successor, which writes a minute after its start; the next one takes the other object away a minute after its own; and
/// a kill at an eviction, which no process does before that either, may still come in between.
const REMEMBERED: Duration = Duration::from_mins(4);

/// Goes through it; answers what does not hold.
pub(super) async fn rest(
    block: &Block,
    scene: &Scene,
    references: References,
    ends: &mpsc::UnboundedSender<End>,
) -> Vec<String> {
    let objects = Api::<ConfigMap>::namespaced(scene.world.admin.clone(), Profile::Auto.namespace());
    let (name, armed) = (block.name(), block.armed_at_rest());
    leave_behind(&objects, &name).await;
    scene.api.arm(&armed);
    ends.send(End::Told).expect("the process' keeper");
    let give_up = Instant::now() + REMEMBERED;
    while !scene.api.still_armed(&armed).is_empty() && Instant::now() < give_up {
        sleep(Duration::from_millis(500)).await;
    }
    sleep(SETTLED).await;
    let mut wrong = Vec::new();
    let left = scene.api.still_armed(&armed);
    if !left.is_empty() {
        wrong.push(format!("{name}: what is remembered was not written within {REMEMBERED:?}: {left:?}"));
    }
    let (healed, all) = (Instant::now(), block.histories.iter());
    let outcomes = join_all(all.clone().map(|history| scene.converges(history, references.clone(), healed))).await;
    let unlike = all.zip(outcomes).filter_map(|(history, end)| Some((history, end.err()?)));
    wrong.extend(unlike.map(|(history, why)| format!("{}: at rest: {why}", history.namespace)));
    let kept = held(&objects, &name).await;
    if kept.keys().ne([&format!("{name}-memory-0")]) || kept.values().any(|parts| *parts == 0) {
        wrong.push(format!("{name}: what is remembered is in (object, policies) {kept:?}"));
    }
    wrong
}

async fn leave_behind(objects: &Api<ConfigMap>, name: &str) {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(format!("{name}-memory-{FOURTH}"));
    object.metadata.labels = Some(BTreeMap::from([(LABEL.to_owned(), name.to_owned())]));
    objects.create(&PostParams::default(), &object).await.expect("leaving an object behind");
}

/// Objects with what is remembered, and of how many policies each does.
async fn held(objects: &Api<ConfigMap>, name: &str) -> BTreeMap<String, usize> {
    let list = objects.list(&ListParams::default().labels(&format!("{LABEL}={name}"))).await.expect("a list");
    let parts = |object: &ConfigMap| object.binary_data.as_ref().map_or(0, BTreeMap::len);
    list.items.iter().map(|object| (object.metadata.name.clone().unwrap_or_default(), parts(object))).collect()
}
