//! A case from its setting up to its end.

use std::time::Duration;

use arbiter::{
    observe::clock::{Clock as _, SystemClock},
    takeover::Kind,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Case, WORK, past, phase_seconds,
    record::{Recorder, Row},
};
use crate::{
    specs::with,
    support::{
        Arbiter, AuditEvent, Emulator, EmulatorOptions, Profile, Queue, Scene, Taken, WEB, Watched, Workload,
        as_written, audit_of_namespace, checkpoint, hpa, scaled_object, vpa,
    },
};

/// CPU target of the HPA, in percent of the request.
const HPA_PERCENT: u32 = 70;
/// Messages that wait per replica, for KEDA.
const LAG: u32 = 20;
/// Bounds of a pod's CPU request, for VPA and so for the policy.
const SIZES: (&str, &str) = ("100m", "2");
/// From running to ready.
const START: &str = "5s";
/// Seconds between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Everything that runs for a case.
pub(super) struct Stage {
    case: Case,
    scene: Scene,
    emulator: Emulator,
    queue: Option<Queue>,
    arbiter: Arbiter,
    policy: Value,
    policy_seen: Watched,
    rivals: Vec<(Kind, Watched)>,
}

/// What came of it.
pub(super) struct Story {
    pub(super) case: Case,
    /// Length of a phase, in seconds.
    pub(super) phase: f64,
    pub(super) rows: Vec<Row>,
    /// Changes of `spec.replicas`: seconds since the first phase began, and the count.
    pub(super) replicas: Vec<(f64, u32)>,
    /// What was written in the namespace, with seconds since the first phase began.
    pub(super) writes: Vec<(f64, AuditEvent)>,
    pub(super) taken: Vec<Taken>,
    /// Each rival before the takeover and after the release, as written.
    pub(super) originals: Vec<(Kind, String, String)>,
    /// The policy's spec.
    pub(super) policy: Value,
}

impl Stage {
    /// A workload at rest with a past, its old owners, and arbiter in mode Recommend. VPA's recommender must not run.
    pub(super) async fn set_up(case: Case) -> Self {
        let mut scene = Scene::new(case.key(), Profile::Auto).await;
        let now = SystemClock.now().as_second();
        let text = past::text(case, &scene.namespace, now);
        scene.prometheus.remember(scene.cluster, &text).await;
        let queue = if case == Case::Worker { Some(Queue::create(&scene, case.key()).await) } else { None };
        let (pods, cpu, cores) = case.start();
        let rate = if queue.is_some() { 0.0 } else { case.calm() };
        let address = queue.as_ref().map(Queue::address);
        let options =
            EmulatorOptions { rate, work: WORK, annotate: true, queue: address, ..EmulatorOptions::default() };
        let workload = Workload { replicas: pods, cpu, start: START, ..Workload::default() };
        let emulator = scene.workload(workload, &options).await;
        scene.usage_known(pods).await;
        let horizontal = match &queue {
            None => hpa(HPA_PERCENT, case.replicas()),
            Some(queue) => scaled_object(queue, LAG, case.replicas()),
        };
        let used = (case.calm() * WORK / f64::from(pods)).min(cores);
        for object in [&vpa(SIZES), &checkpoint(used, pods, SystemClock.now()), &horizontal] {
            scene.create(object);
        }
        let kinds = if queue.is_some() { "scaledobject,vpa" } else { "hpa,vpa" };
        let policy = with(scene.imported(kinds), json!({"mode": "Recommend"}));
        scene.policy(WEB, policy.clone()).await;
        let mut arbiter = scene.arbiter("one", &[]).await;
        arbiter.decided(&scene.namespace, WEB).await;
        let watch = |kind| (kind, Watched::rival(scene.admin.clone(), &scene.namespace, kind));
        let rivals = [Kind::Vpa, if queue.is_some() { Kind::ScaledObject } else { Kind::Hpa }].map(watch).into();
        let group = "autoscaling.arbiter.io/v1alpha1";
        let client = scene.admin.clone();
        let policy_seen = Watched::start(client, &scene.namespace, group, "ScalingPolicy", "scalingpolicies");
        Self { case, scene, emulator, queue, arbiter, policy, policy_seen, rivals }
    }

    async fn mode(&self, mode: &str) -> Timestamp {
        let asked = SystemClock.now();
        self.scene.policy(WEB, with(self.policy.clone(), json!({"mode": mode}))).await;
        asked
    }

    fn as_written(&self) -> Vec<(Kind, String)> {
        self.rivals.iter().map(|(kind, _)| (*kind, as_written(&self.scene.object(kind.as_str(), WEB)))).collect()
    }

    /// The three phases.
    pub(super) async fn play(&mut self) -> Story {
        let phase = phase_seconds() as f64;
        let history = self.scene.history().await;
        let mut recorder = Recorder::new(self.case, &self.scene, &self.emulator, self.queue.as_ref());
        let (begun, start) = (SystemClock.now(), Instant::now());
        let mut ticker = interval(LOOK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut rows, mut asked, mut before) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            ticker.tick().await;
            let at = start.elapsed().as_secs_f64();
            if at >= 3.0 * phase {
                break;
            }
            if asked.is_empty() && at >= phase {
                before = self.as_written();
                asked.push(self.mode("Auto").await);
            } else if asked.len() == 1 && at >= 2.0 * phase {
                asked.push(self.mode("Recommend").await);
            }
            let share = (at / phase).fract();
            rows.push(recorder.look(at, self.case.rate(share)).await);
        }
        assert!(self.arbiter.ticks().await > 0, "{}", self.arbiter.last_words());
        let after = self.as_written();
        let seconds = |at: Timestamp| at.duration_since(begun).as_secs_f64();
        let taken = self.rivals.iter();
        let taken = taken.map(|(kind, seen)| Taken::read(*kind, seen, &self.policy_seen, asked[0], asked[1]));
        let events = audit_of_namespace(self.scene.cluster, &self.scene.namespace).into_iter();
        let changes = history.changes().into_iter();
        Story {
            case: self.case,
            phase,
            rows,
            replicas: changes.map(|(at, n)| ((at.saturating_duration_since(start)).as_secs_f64(), n)).collect(),
            writes: events.filter_map(|e| Some((seconds(e.at?), e))).collect(),
            taken: taken.collect(),
            originals: before.into_iter().zip(after).map(|((kind, a), (_, b))| (kind, a, b)).collect(),
            policy: self.policy.clone(),
        }
    }
}

impl Story {
    /// What must hold whatever the numbers say.
    pub(super) fn check(&self) {
        for (kind, before, after) in &self.originals {
            assert_eq!(before, after, "{}: {} is not given back as it was", self.case.key(), kind.as_str());
        }
        let (ran, least) = self.takeover();
        assert!(least >= ran, "{}: {least} replicas in the takeover, {ran} ran", self.case.key());
    }

    /// Replicas that ran when the takeover was asked for, and the fewest until they were arbiter's to move.
    pub(super) fn takeover(&self) -> (u32, u32) {
        let ran = self.replicas.iter().rfind(|(at, _)| *at < self.phase).map_or(0, |(_, count)| *count);
        let lasted = self.taken.iter().filter_map(|taken| taken.heard).fold(0.0, f64::max);
        let meanwhile = self.phase..=self.phase + lasted;
        let after = self.replicas.iter().filter(|(at, _)| meanwhile.contains(at)).map(|(_, count)| *count);
        (ran, after.fold(ran, u32::min))
    }
}
