//! Scores of rivals and oracles, kept between runs: the model does not change them.
//!
//! A score is found again only if the simulator's sources and the whole scenario are the same; arbiter is always played.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    super::{Failure, simulate, staged::Staged},
    cases::Player,
};
use crate::simulate::{Scenario, Score};

/// Known scores, by what they depend on.
pub(super) struct Cache {
    path: PathBuf,
    inputs: String,
    scores: Mutex<BTreeMap<String, Score>>,
}

impl Cache {
    /// Opens the cache, which may not be there yet; `inputs` names the state of the simulator's sources.
    pub(super) fn open(path: &Path, inputs: &str) -> Result<Self, Failure> {
        let scores = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Failure::Input(format!("{}: {error}; remove it, it is made anew", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(Failure::Input(format!("{}: cannot be read: {error}; check the path", path.display())));
            }
        };
        Ok(Self { path: path.to_owned(), inputs: inputs.to_owned(), scores: Mutex::new(scores) })
    }

    /// What a score depends on; none for the model itself.
    pub(super) fn key(&self, scenario: &Scenario, player: Player, seed: u64) -> Option<String> {
        if player.name.starts_with("arbiter") {
            return None;
        }
        // The model's constants are the only part of a scenario that nobody else reads.
        let told = format!("{scenario:?}").replace(&format!("{:?}", scenario.policy.tuning), "");
        let mut hasher = DefaultHasher::new();
        (&self.inputs, told, player.name, player.only, seed).hash(&mut hasher);
        Some(format!("{} {} {:016x}", scenario.load.name, player.name, hasher.finish()))
    }

    pub(super) fn get(&self, key: &str) -> Option<Score> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(super) fn put(&self, key: String, score: Score) {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).insert(key, score);
    }

    /// Writes it for the next run.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let text = simulate::json(&*self.scores.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut file = Staged::create(&self.path)?;
        file.write(text.as_bytes())?;
        file.publish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Load, TraceOptions};

    #[test]
    fn a_score_is_known_again_for_the_same_inputs_alone_and_never_for_the_model() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.json");
        let load = Load::read("x.csv", &b"timestamp_s,rps\n0,1\n5,1\n"[..], None).unwrap();
        let scenario = Scenario::from_trace(load, TraceOptions::default());
        let player = |name| Player { name, only: None };
        let cache = Cache::open(&path, "a").unwrap();
        assert_eq!(cache.key(&scenario, player("arbiter"), 1), None);
        assert_eq!(cache.key(&scenario, player("arbiter-cpu"), 1), None);
        let key = cache.key(&scenario, player("hpa70"), 1).unwrap();
        let run = crate::simulate::Run::new(&scenario, crate::simulate::controller("hpa70", &scenario).unwrap(), 1);
        cache.put(key.clone(), run.score());
        cache.save().unwrap();
        let again = Cache::open(&path, "a").unwrap();
        assert_eq!(again.get(&key), Some(run.score()));
        let mut tuned = scenario.clone();
        tuned.policy.tuning.headroom *= 2.0;
        assert_eq!(again.key(&tuned, player("hpa70"), 1), Some(key.clone()));
        let mut other = scenario.clone();
        other.policy.replicas.max = crate::units::Replicas(61);
        let others = [
            again.key(&scenario, player("hpa70"), 2),
            again.key(&scenario, player("hpa50"), 1),
            again.key(&scenario, Player { name: "hpa70", only: Some(0) }, 1),
            again.key(&other, player("hpa70"), 1),
            Cache::open(&path, "b").unwrap().key(&scenario, player("hpa70"), 1),
        ];
        assert!(others.iter().flatten().all(|other| again.get(other).is_none()));
    }
}
