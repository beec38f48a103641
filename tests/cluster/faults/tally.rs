//! What a run came to, in numbers, for a person to read.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    api::Kill,
    block::Outcome,
    plan::{Class, Kind},
    sites::Site,
};

/// Numbers over all blocks.
#[derive(Debug, Default)]
pub(super) struct Tally {
    histories: usize,
    blocks: usize,
    starts: u64,
    faults: BTreeMap<Kind, BTreeMap<Class, u64>>,
    sites: BTreeMap<Site, u64>,
    kills: BTreeMap<Kill, u64>,
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
        for kill in outcome.seen.kills {
            *self.kills.entry(kill).or_default() += 1;
        }
        self.converged.extend(outcome.converged);
        self.wrong.extend(outcome.wrong);
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
        let spared = |site: &Site| [false, true].iter().all(|after| !self.kills.contains_key(&(*site, *after)));
        Site::ALL.into_iter().filter(spared).collect()
    }

    /// Injected faults.
    pub(super) fn faults(&self) -> u64 {
        self.faults.values().flat_map(BTreeMap::values).sum()
    }

    /// As Markdown.
    pub(super) fn text(&self, seed: u64, seconds: f64) -> String {
        let mut out = String::new();
        self.write(&mut out, seed, seconds).expect("writing to a string cannot fail");
        out
    }

    fn write(&self, out: &mut String, seed: u64, seconds: f64) -> std::fmt::Result {
        let violations = self.wrong.iter().filter(|line| !line.starts_with(' ')).count();
        writeln!(
            out,
            "{} histories in {} blocks (seed {seed}) in {seconds:.0} s, {} faults, {} processes started, **{violations} violations**.\n",
            self.histories,
            self.blocks,
            self.faults(),
            self.starts
        )?;
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
            let kills = |answered| self.kills.get(&(site, answered)).copied().unwrap_or_default();
            writeln!(out, "| {site:?} | {times} | {} | {} |", kills(false), kills(true))?;
        }
        Ok(())
    }
}

/// The middle and the largest of some numbers.
pub(super) fn halfway(numbers: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}
