use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    api::{PodSizesSpec, SizedKind},
    controller::policies,
    decide::{ContainerSize, Explain, Resources, Room},
    observe::kubernetes::{PolicyObject, index::Watched},
    units::{Bytes, Cores},
};

const HASH: &str = "7d9c";

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn object(name: &str, mode: &str) -> Arc<PolicyObject> {
    let spec = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "mode": mode});
    let metadata = json!({"namespace": "shop", "name": name, "generation": 3});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
}

fn index(objects: &[Arc<PolicyObject>]) -> Index {
    let mut index = Index::default();
    for object in objects {
        PolicyObject::clone(object).keep(&mut index);
    }
    index
}

fn amounts(cpu: f64, mib: u64) -> Resources {
    Resources { cpu_cores: Some(Cores(cpu)), memory_bytes: Some(Bytes(mib << 20)) }
}

/// One look at the policy `web`.
#[derive(Clone)]
struct Seen {
    mode: &'static str,
    seconds: i64,
    spec: u32,
    ready: u32,
    cpu: f64,
    sizes: Option<Shrink>,
    failure: Option<&'static str>,
    tells: bool,
    ours: bool,
}

const CALM: Seen = Seen {
    mode: "Auto",
    seconds: 0,
    spec: 3,
    ready: 3,
    cpu: 0.75,
    sizes: Some(Shrink::Allowed),
    failure: None,
    tells: true,
    ours: true,
};

fn note(book: &Book, seen: &Seen) {
    let policy = policies::read(&object("web", seen.mode), &crate::observe::tenancy::Tenancy::default()).unwrap();
    let mut snapshot: Snapshot =
        serde_json::from_value(json!({"at": at(seen.seconds), "replicas": {"spec": seen.spec, "ready": seen.ready}}))
            .unwrap();
    snapshot.replicas.template_hash = Some(HASH.into());
    snapshot.room = Room::default();
    let decision = Decision {
        v: 0,
        at: snapshot.at,
        replicas: Replicas(seen.spec),
        containers: vec![ContainerSize {
            name: "app".into(),
            requests: amounts(seen.cpu, 300),
            limits: Resources::default(),
        }],
        boost: None,
        reason: Reason::CpuDemand,
        message: String::new(),
        explain: Explain::default(),
    };
    let template =
        [TemplateContainer { name: "app".into(), requests: amounts(0.1, 128), limits: Resources::default() }];
    let moves = Moves { sizes: seen.sizes, ..Moves::default() };
    let noted = Noted {
        policy: &policy,
        generation: Some(3),
        target: "uid",
        template: &template,
        snapshot: &snapshot,
        decision: &decision,
        moves: &moves,
        ours: seen.ours,
    };
    let failure = seen.failure.map(str::to_owned);
    book.note_in(noted, || Surroundings { bounds: Bounds::default(), failure, tells: seen.tells, sharers: 10 });
}

/// CPU of each row that is to be written, or nothing where nothing is.
fn due(book: &Book, index: &Index) -> Vec<(String, Vec<String>)> {
    let cpus = |rows: Rows| {
        let cpu = |s: &PodSize| s.containers["app"].cpu.clone().unwrap_or_default();
        rows.iter().map(|((kind, name), s)| format!("{}/{name} {}", kind.name(), cpu(s))).collect()
    };
    book.due(index).into_iter().map(|(ns, _, rows)| (ns, cpus(rows))).collect()
}

fn written(book: &Book, index: &Index) {
    for (namespace, _, rows) in book.due(index) {
        book.set_table(&namespace, Table { object: None, rows });
    }
    assert!(book.due(index).is_empty(), "written once");
}

fn rows(cpu: &str) -> Vec<(String, Vec<String>)> {
    vec![("shop".to_owned(), vec![format!("Deployment/web {cpu}")])]
}

fn no_rows() -> Vec<(String, Vec<String>)> {
    vec![("shop".to_owned(), Vec::new())]
}

#[test]
fn only_a_policy_in_auto_has_a_row() {
    let index = index(&[object("web", "Auto")]);
    for away in [Seen { mode: "Recommend", ..CALM }, Seen { mode: "Paused", ..CALM }, Seen { ours: false, ..CALM }] {
        let book = Book::default();
        note(&book, &CALM);
        assert_eq!(due(&book, &index), rows("750m"));
        written(&book, &index);
        note(&book, &away);
        assert_eq!(due(&book, &index), no_rows());
    }
    let book = Book::default();
    note(&book, &CALM);
    written(&book, &index);
    book.forget(&object("web", "Auto").key());
    assert_eq!(due(&book, &self::index(&[])), no_rows(), "deleted");
}

#[test]
fn nothing_is_due_while_nothing_changes() {
    let index = index(&[object("web", "Auto")]);
    let book = Book::default();
    assert!(!book.take_changed());
    note(&book, &CALM);
    assert!(book.take_changed());
    written(&book, &index);
    note(&book, &CALM);
    assert!(!book.take_changed());
}

#[test]
fn what_another_leader_wrote_holds_until_decided() {
    let old = Book::default();
    note(&old, &CALM);
    let table = |book: &Book| book.due(&index(&[])).remove(0).2;
    let found = BTreeMap::from([("shop".to_owned(), Table { object: None, rows: table(&old) })]);
    let book = Book::default();
    book.set_found("", found);
    assert!(due(&book, &index(&[object("web", "Auto")])).is_empty(), "kept as it is");
    assert_eq!(due(&book, &index(&[object("web", "Recommend")])), no_rows());
    assert_eq!(due(&book, &index(&[])), no_rows());
    // A process that has just started makes nothing smaller.
    note(&book, &Seen { cpu: 0.2, sizes: Some(Shrink::Forbidden), ..CALM });
    assert!(due(&book, &index(&[object("web", "Auto")])).is_empty(), "750m stays");
    note(&book, &Seen { cpu: 0.2, ..CALM });
    assert_eq!(due(&book, &index(&[object("web", "Auto")])), rows("200m"));
}

#[test]
fn a_refusal_that_names_resources_takes_the_row_away_for_an_hour() {
    let index = index(&[object("web", "Auto")]);
    let key = object("web", "Auto").key();
    let refusals = [
        r#"pods "web-1" is forbidden: exceeded quota: compute, requested: requests.cpu=750m"#,
        r#"Pod "web-1" is invalid: spec.containers[0].resources.requests: Invalid value: "750m""#,
        r#"pods "web-1" is forbidden: maximum cpu usage per Container is 500m, but limit is 750m"#,
        r#"admission webhook "sizes.example.com" denied the request: too large"#,
    ];
    for words in refusals {
        let book = Book::default();
        note(&book, &Seen { failure: Some(words), ..CALM });
        assert_eq!(due(&book, &index), rows("750m"), "no size of ours was there when it was refused");
        written(&book, &index);
        note(&book, &Seen { failure: Some(words), seconds: 1, ..CALM });
        assert_eq!(due(&book, &index), no_rows());
        let remark = book.remark(&key).unwrap();
        assert!(remark.contains(words) && remark.contains("until 1970-01-01T01:00:01Z"), "{remark}");
        note(&book, &Seen { seconds: 3000, ..CALM });
        assert_eq!(due(&book, &index), no_rows());
        note(&book, &Seen { seconds: 3601, ..CALM });
        assert!(due(&book, &index).is_empty(), "as it was written");
        assert_eq!(book.remark(&key), None);
    }
    let book = Book::default();
    note(&book, &CALM);
    note(&book, &Seen { failure: Some(r#"serviceaccount "web" not found"#), seconds: 1, ..CALM });
    assert_eq!(due(&book, &index), rows("750m"), "not for its size");
}

#[test]
fn pods_that_do_not_come_and_nobody_says_why() {
    let index = index(&[object("web", "Auto")]);
    let missing = |seconds| Seen { spec: 5, seconds, tells: false, ..CALM };
    let book = Book::default();
    for seen in [CALM, missing(10), missing(54)] {
        note(&book, &seen);
        assert_eq!(due(&book, &index), rows("750m"));
    }
    note(&book, &missing(55));
    assert_eq!(due(&book, &index), Vec::new());
    assert!(book.remark(&object("web", "Auto").key()).unwrap().ends_with("pods of this one were not created"));
}

#[test]
fn a_size_is_not_blamed_for_pods_that_were_missing_before_it() {
    let index = index(&[object("web", "Auto")]);
    let book = Book::default();
    for seconds in [0, 100] {
        // Another owner's: no size of ours.
        note(&book, &Seen { ours: false, spec: 5, seconds, tells: false, ..CALM });
    }
    for seconds in [110, 120, 160] {
        note(&book, &Seen { spec: 5, seconds, tells: false, ..CALM });
        assert_eq!(due(&book, &index), rows("750m"));
    }
}

#[test]
fn where_a_refusal_would_be_said_nothing_is_concluded_from_silence() {
    let index = index(&[object("web", "Auto")]);
    let book = Book::default();
    for seconds in [0, 60, 3000] {
        note(&book, &Seen { spec: 5, seconds, ..CALM });
        assert_eq!(due(&book, &index), rows("750m"));
    }
}

#[test]
fn a_table_is_cut_where_it_would_cost_too_much() {
    let size = PodSize { policy: "x".repeat(90), ..PodSize::default() };
    let rows = |count: u32| -> Rows {
        (0..count).map(|n| ((SizedKind::Deployment, format!("{n:05}")), size.clone())).collect()
    };
    let kept = cut("shop", rows(10_000));
    let bytes = PodSizesSpec::of(&kept).deployments.len();
    assert!((1000..10_000).contains(&kept.len()), "{}", kept.len());
    assert!((POD_SIZES_BYTES - 256..=POD_SIZES_BYTES + 1).contains(&bytes), "{bytes}");
    assert!(kept.contains_key(&(SizedKind::Deployment, "00000".to_owned())), "the first ones stay");
    assert_eq!(cut("shop", rows(1000)).len(), 1000);
}

#[test]
fn quotas_are_shared_among_all_that_size_pods() {
    let policy = |name: &str, mode: &str, max: u32| -> Policy {
        let mut policy = policies::read(&object(name, mode), &crate::observe::tenancy::Tenancy::default()).unwrap();
        policy.replicas.max = Replicas(max);
        policy
    };
    let all = [policy("a", "Auto", 10), policy("b", "Auto", 5), policy("c", "Recommend", 100)];
    assert_eq!(sharers(&mut all.iter().filter(|p| p.key.namespace == "shop")), 15);
    assert_eq!(sharers(&mut all.iter().filter(|p| p.key.namespace == "other")), 0);
}
