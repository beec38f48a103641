//! An hour of noisy steady load, in a tenth of the time: as many decisions as an hour has, every one on a new noisy sample.
//!
//! An hour of the default interval has 240 ticks; here a tick is 1.5 s and the run six minutes. What an hour would add are
//! repeats: status is written again every 5 min at the latest, 12 times an hour. So within a budget of 15 writes, noise may
//! cause 3 over all those ticks.

use serde_json::json;

use crate::{
    specs,
    support::{AuditEvent, EmulatorOptions, Profile, Scene, WEB, Workload},
};

const MINUTES: u64 = 6;
const TICKS: u64 = 240;
/// Writes that noise may cause in an hour's number of ticks.
const BY_NOISE: usize = 3;
/// Repeats within the run: after 5 min at the latest, earlier by jitter.
const REPEATS: usize = 2;

#[tokio::test]
async fn noise_does_not_write_status() {
    let scene = Scene::new("steady", Profile::Auto).await;
    let options = EmulatorOptions { rate: 30.0, ..EmulatorOptions::default() };
    let emulator = scene.workload(Workload { replicas: 4, ..Workload::default() }, &options).await;
    scene.usage_known(4).await;
    scene.policy(WEB, specs::with(specs::auto(&scene), json!({"behavior": {}}))).await;
    let mut arbiter = scene.arbiter("one", &["--tick=1500ms"]).await;
    arbiter.decided(&scene.namespace, WEB).await;
    emulator.load(json!({"noise": 0.3})).await;
    // What the start moves is not steady load.
    scene.settled(30).await;

    let writes = |events: &[AuditEvent]| events.iter().filter(|e| e.resource == "scalingpolicies/status").count();
    let (before, ticks_before) = (writes(&scene.audit()), arbiter.ticks().await);
    tokio::time::sleep(std::time::Duration::from_mins(MINUTES)).await;
    let (after, ticks_after) = (writes(&scene.audit()), arbiter.ticks().await);
    let (written, ticks) = (after - before, ticks_after - ticks_before);
    assert!(ticks * 10 >= TICKS * 9, "only {ticks} ticks");
    assert!(written <= BY_NOISE + REPEATS, "{written} status writes in {ticks} ticks");
    assert!(before >= 1, "the audit log shows no status write at all");
}
