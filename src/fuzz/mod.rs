//! Everything that reads bytes of somebody else, with what must hold whatever they are.
//!
//! One function per kind of input. The fuzz targets (`fuzz/`) and the test that goes through their corpora
//! (`tests/fuzz_corpus.rs`) call these very functions, so that what fuzzing found once stays found. Not part of the API.
//!
//! Invariant: a function panics when, and only when, one of its properties does not hold.

mod answers;
mod policies;
mod streams;
mod texts;

/// A kind of input: its name, which is that of its corpus, and what is done with it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("quantity", texts::quantity),
    ("policy", policies::policy),
    ("promql", policies::promql),
    ("prometheus", answers::prometheus),
    ("nats", answers::nats),
    ("trace", texts::trace),
    ("replay", streams::replay),
    ("memory", streams::memory),
];

/// Reads an input of a kind.
///
/// # Panics
/// When there is no such kind, or a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, read) = target.expect("the name of a kind of input");
    read(data);
}

/// Whether a text is one sentence or less for a person: one line, not endless.
fn is_a_line(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST_LINE && !text.contains('\n')
}

/// Longest message about one problem. It may repeat a text of the policy once, and the longest is a query's excerpt or a name.
const LONGEST_LINE: usize = 2000;
