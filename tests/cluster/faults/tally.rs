//! What a run came to, in numbers, for a person to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    block::Outcome,
    plan::{Class, Kind},
    sites::Site,
};

/// Numbers over all blocks.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Tally {
    seeds: BTreeSet<u64>,
    seconds: f64,
    histories: usize,
    blocks: usize,
    starts: u64,
    faults: BTreeMap<Kind, BTreeMap<Class, u64>>,
    sites: BTreeMap<Site, u64>,
    /// Kills at each site, before its answer and after it.
    kills: BTreeMap<Site, [u64; 2]>,
    converged: Vec<f64>,
    wrong: Vec<String>,
}

impl Tally {
    /// Adds a block.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.histories += outcome.histories;
        self.blocks += 1;
        self.starts += u64::from(outcome.starts);
        for done in outcome.faults {
            *self.faults.entry(done.fault.kind).or_default().entry(done.request.0).or_default() += 1;
        }
        for (site, times) in outcome.seen.sites {
            *self.sites.entry(site).or_default() += times;
        }
        for (site, answered) in outcome.seen.kills {
            self.kills.entry(site).or_default()[usize::from(answered)] += 1;
        }
        self.converged.extend(outcome.converged);
        self.wrong.extend(outcome.wrong);
    }

    /// What it is the tally of.
    pub(super) fn of(&mut self, seed: u64, seconds: f64) {
        self.seeds.insert(seed);
        self.seconds = seconds;
    }

    /// Puts it into a folder and answers with the sum of all that are there: a run of thousands of histories is one of
    /// many parts, so that what was run is not lost with what was not.
    pub(super) fn kept(&self, folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("the folder of tallies");
        let name: String = self.seeds.iter().map(|seed| format!("seed-{seed}.json")).collect();
        let text = serde_json::to_string(self).expect("a tally as JSON");
        fs::write(folder.join(name), text).expect("writing a tally");
        let mut sum = Self::default();
        let files = fs::read_dir(folder).expect("the folder of tallies").map(|file| file.expect("a tally").path());
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "json")) {
            let text = fs::read_to_string(file).expect("reading a tally");
            sum.join(serde_json::from_str(&text).expect("a tally"));
        }
        sum
    }

    fn join(&mut self, other: Self) {
        self.seeds.extend(other.seeds);
        self.seconds += other.seconds;
        self.histories += other.histories;
        self.blocks += other.blocks;
        self.starts += other.starts;
        for (kind, by) in other.faults {
            let mine = self.faults.entry(kind).or_default();
            for (class, times) in by {
                *mine.entry(class).or_default() += times;
            }
        }
        for (site, times) in other.sites {
            *self.sites.entry(site).or_default() += times;
        }
        for (site, times) in other.kills {
            let mine = self.kills.entry(site).or_default();
            *mine = [mine[0] + times[0], mine[1] + times[1]];
        }
        self.converged.extend(other.converged);
        self.wrong.extend(other.wrong);
    }

    /// Adds what did not hold over blocks.
    pub(super) fn wrong(&mut self, wrong: Vec<String>) {
        self.wrong.extend(wrong);
    }

    /// What did not hold.
    pub(super) fn violations(&self) -> &[String] {
        &self.wrong
    }

    /// Sites at which nobody was killed, neither before the answer nor after it.
    pub(super) fn spared(&self) -> Vec<Site> {
        Site::ALL.into_iter().filter(|site| !self.kills.contains_key(site)).collect()
    }

    /// Injected faults.
    pub(super) fn faults(&self) -> u64 {
        self.faults.values().flat_map(BTreeMap::values).sum()
    }

    /// As Markdown.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a string cannot fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let violations: Vec<&String> = self.wrong.iter().filter(|line| !line.starts_with(' ')).collect();
        writeln!(
            out,
            "{} histories in {} blocks ({}) in {:.0} s, {} faults, {} processes started, **{} violations**.\n",
            self.histories,
            self.blocks,
            seeds(&self.seeds),
            self.seconds,
            self.faults(),
            self.starts,
            violations.len()
        )?;
        for violation in violations {
            writeln!(out, "- {violation}")?;
        }
        if let Some((half, most)) = halfway(&self.converged) {
            writeln!(
                out,
                "From the last fault to what an undisturbed history comes to: {half:.0} s in the middle, {most:.0} s at most.\n"
            )?;
        }
        write!(out, "| fault |")?;
        for class in Class::ALL {
            write!(out, " {class:?} |")?;
        }
        writeln!(out, "\n|---|{}", "---:|".repeat(Class::ALL.len()))?;
        for kind in Kind::ALL {
            write!(out, "| {kind:?} |")?;
            for class in Class::ALL {
                let times = self.faults.get(&kind).and_then(|by| by.get(&class)).copied().unwrap_or_default();
                write!(out, " {times} |")?;
            }
            writeln!(out)?;
        }
        writeln!(
            out,
            "\n| write site | writes that took | killed before its answer | killed after it |\n|---|---:|---:|---:|"
        )?;
        for site in Site::ALL {
            let times = self.sites.get(&site).copied().unwrap_or_default();
            let [before, after] = self.kills.get(&site).copied().unwrap_or_default();
            writeln!(out, "| {site:?} | {times} | {before} | {after} |")?;
        }
        Ok(())
    }
}

/// `seed 3`, or `seeds 1 to 4, 7`.
fn seeds(seeds: &BTreeSet<u64>) -> String {
    let mut spans: Vec<[u64; 2]> = Vec::new();
    for seed in seeds {
        match spans.last_mut() {
            Some([_, last]) if *last + 1 == *seed => *last = *seed,
            _ => spans.push([*seed; 2]),
        }
    }
    let texts =
        spans.iter().map(|[first, last]| if first == last { first.to_string() } else { format!("{first} to {last}") });
    let text = texts.collect::<Vec<_>>().join(", ");
    format!("seed{} {text}", if seeds.len() == 1 { "" } else { "s" })
}

/// The middle and the largest of some numbers.
pub(super) fn halfway(numbers: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}

#[test]
fn tallies_add_up() {
    let folder = std::env::temp_dir().join(format!("arbiter-tallies-{}", std::process::id()));
    let tally = |seed, wrong: &str| {
        let mut tally =
            Tally { histories: 20, converged: vec![1.0], wrong: vec![wrong.to_owned()], ..Tally::default() };
        tally.faults.entry(Kind::Half).or_default().insert(Class::List, 3);
        tally.sites.insert(Site::Scale, 5);
        tally.kills.insert(Site::Scale, [1, 0]);
        tally.of(seed, 60.0);
        tally
    };
    let written: Vec<Tally> = [4, 1, 2].map(|seed| tally(seed, "one shrank").kept(&folder)).into();
    fs::remove_dir_all(&folder).expect("removing the tallies");
    let text = written.last().expect("three sums").text();
    assert!(text.starts_with("60 histories in 0 blocks (seeds 1 to 2, 4) in 180 s, 9 faults"), "{text}");
    assert!(text.contains("**3 violations**") && text.contains("- one shrank"), "{text}");
    assert!(text.contains("| Half | 0 | 0 | 0 | 9 |") && text.contains("| Scale | 15 | 3 | 0 |"), "{text}");
}
