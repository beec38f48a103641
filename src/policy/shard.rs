//! Shards: which of several controllers has which policies.
//!
//! A namespace is whole: its policies compete for the same targets and share one table of new pods' sizes. Each namespace
//! goes to the shard with the highest weight for it (rendezvous hashing; Thaler and Ravishankar, "A name-based mapping
//! scheme for rendezvous", 1996), so that a further shard takes its share from all others, and nothing moves between them.
//!
//! Invariant: pure; all instances with the same number of shards agree, and each namespace has one shard.

use std::str::FromStr;

use crate::units::fnv;

/// More than a cluster of any size needs: one takes 10,000 policies.
const MOST: u32 = 64;

/// One of a number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The only one.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether it has the policies of a namespace. What belongs to no namespace (an empty name) is everybody's.
    #[must_use]
    pub fn owns(self, namespace: &str) -> bool {
        self.count == 1 || namespace.is_empty() || of(namespace, self.count) == self.index
    }

    /// Into how many shards policies are divided.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The name of its lease, made from the name that the only shard's has.
    #[must_use]
    pub fn lease_name(self, base: &str) -> String {
        if self.count == 1 { base.to_owned() } else { format!("{base}-{}-of-{}", self.index, self.count) }
    }

    /// The shard whose lease has this name; none: it is no such lease.
    #[must_use]
    pub fn of_lease(base: &str, name: &str) -> Option<Self> {
        if name == base {
            return Some(Self::WHOLE);
        }
        let (index, count) = name.strip_prefix(base)?.strip_prefix('-')?.split_once("-of-")?;
        format!("{index}/{count}").parse().ok()
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// Written `0/3`: the first of three.
impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parsed {
            Some((index, count)) if index < count && count <= MOST => Ok(Self { index, count }),
            _ => Err(format!(
                "`{text}` is no shard: write its number from 0 and how many there are, at most {MOST}, like 0/3"
            )),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The shard of a namespace: the one with the highest weight.
fn of(namespace: &str, count: u32) -> u32 {
    let sum = fnv::fnv1a(fnv::BASIS, namespace.bytes());
    (0..count).max_by_key(|index| scramble(sum ^ scramble(u64::from(*index)))).unwrap_or_default()
}

/// Sums of similar names differ in few bits; this spreads them (the finalizer of `SplitMix64`; Steele, Lea and Flood 2014).
const fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> impl Iterator<Item = String> {
        (0..3000).map(|n| format!("team-{n}"))
    }

    #[test]
    fn every_namespace_has_one_shard_and_shards_have_about_as_many() {
        for count in 1..=8 {
            let mut sizes = vec![0_u32; count as usize];
            for name in names() {
                let owners: Vec<u32> = (0..count).filter(|index| Shard { index: *index, count }.owns(&name)).collect();
                assert_eq!(owners.len(), 1, "{name}");
                sizes[owners[0] as usize] += 1;
            }
            let fair = 3000.0 / f64::from(count);
            assert!(sizes.iter().all(|n| (f64::from(*n) / fair - 1.0).abs() < 0.15), "{sizes:?}");
        }
        assert!((0..4).all(|index| Shard { index, count: 4 }.owns("")), "nodes are everybody's");
    }

    #[test]
    fn a_further_shard_takes_its_share_and_nothing_else_moves() {
        let moved = names().filter(|name| of(name, 4) != of(name, 5)).count();
        assert!(names().all(|name| of(&name, 5) == 4 || of(&name, 5) == of(&name, 4)));
        assert!((500..700).contains(&moved), "{moved} of 3000");
    }

    #[test]
    fn a_shard_is_read_and_written() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        assert_eq!("0/1".parse(), Ok(Shard::WHOLE));
        for wrong in ["3/3", "0/0", "1", "-1/2", "0/65", "a/b", ""] {
            assert!(Shard::from_str(wrong).is_err_and(|e| e.contains("like 0/3")), "{wrong}");
        }
        for (name, shard) in [("arbiter", "0/1"), ("arbiter-0-of-2", "0/2"), ("arbiter-2-of-3", "2/3")] {
            let shard: Shard = shard.parse().unwrap();
            assert_eq!(shard.lease_name("arbiter"), name);
            assert_eq!(Shard::of_lease("arbiter", name), Some(shard));
        }
        for other in ["arbiter-dev", "arbiter-2-of-2", "arbiter0-of-2", "arbite", "arbiter-0-of-x"] {
            assert_eq!(Shard::of_lease("arbiter", other), None, "{other}");
        }
    }
}
