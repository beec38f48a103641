//! The corpora of the fuzz targets, read by the same functions: what fuzzing found once stays found, without its tools.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use arbiter::fuzz::TARGETS;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// Least inputs of a corpus that is one.
const LEAST: usize = 12;
/// Inputs made of each target's corpus, unless `FUZZ_MUTATIONS` says otherwise: seconds in a development build. Without
/// knowing what they reach; that is what `make fuzz` is for.
const MUTATIONS: u64 = 300;
/// What numbers and texts break at.
const TOKENS: [&[u8]; 16] = [
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"5e-324",
    b"NaN",
    b"Infinity",
    b"null",
    b"18446744073709551615",
    b"4294967296",
    b"\"",
    b"\\",
    b"\xc3\xa9",
    b"{}",
    b"[",
    b"\n",
];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(name: &str) -> BTreeSet<PathBuf> {
    let folder = corpora().join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A number below another one.
fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(random.next_u64() % (bound.max(1) as u64)).unwrap()
}

/// One to four changes: a bit, a byte that goes, a token that comes or takes a place, a part of another input.
fn mutated(seed: &[u8], other: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=below(random, 4) {
        let (at, token) = (below(random, data.len()), TOKENS[below(random, TOKENS.len())]);
        match below(random, 5) {
            0 if !data.is_empty() => data[at] ^= 1 << below(random, 8),
            1 if !data.is_empty() => drop(data.remove(at)),
            2 => drop(data.splice(at..at, token.iter().copied())),
            3 => {
                // A number or a word, whole.
                let end = data[at..].iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'.').unwrap_or(0);
                drop(data.splice(at..at + end, token.iter().copied()));
            }
            _ => {
                let (from, length) = (below(random, other.len()), below(random, 64));
                let part = other[from..].iter().copied().take(length).collect::<Vec<_>>();
                drop(data.splice(at..at, part));
            }
        }
    }
    data
}

#[test]
fn what_is_near_the_corpora_is_read_as_it_must_be() {
    let mutations = std::env::var("FUZZ_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    for (name, read) in TARGETS {
        let seeds: Vec<Vec<u8>> = files(name).iter().map(|file| fs::read(file).unwrap()).collect();
        for number in 0..mutations {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let (seed, other) = (&seeds[below(&mut random, seeds.len())], &seeds[below(&mut random, seeds.len())]);
            let data = mutated(seed, other, &mut random);
            if std::panic::catch_unwind(|| read(&data)).is_err() {
                let kept = std::env::temp_dir().join(format!("fuzz-{name}-{number}"));
                fs::write(&kept, &data).unwrap();
                panic!("{name}: see above; the input is in {}", kept.display());
            }
        }
    }
}

#[test]
fn every_input_of_every_corpus_is_read_as_it_must_be() {
    for (name, read) in TARGETS {
        let files = files(name);
        assert!(files.len() >= LEAST, "{name}: {} inputs", files.len());
        for file in files {
            let data = fs::read(&file).unwrap();
            let read = std::panic::catch_unwind(|| read(&data));
            assert!(read.is_ok(), "{}: see above", file.display());
        }
    }
}

/// A target without a corpus is not looked at above, and a corpus without a target is looked at by nobody.
#[test]
fn targets_and_corpora_are_the_same() {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpora()), targets);
    assert_eq!(names(&corpora().join("../fuzz_targets")), targets);
}
