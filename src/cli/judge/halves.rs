//! The two halves of the recordings: on one the model's numbers are chosen, on the other they are judged.
//!
//! The file is fixed before anything is measured. Families of recordings (one system, one author) are never split.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::super::Failure;

/// A half of the recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Half {
    /// Numbers of the model may be chosen on it.
    Development,
    /// Only looked at.
    Judged,
}

impl Half {
    /// Both, in the order of reports.
    pub(super) const ALL: [Self; 2] = [Self::Development, Self::Judged];

    /// Its name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Development => "development half",
            Self::Judged => "judged half",
        }
    }
}

/// Which recording belongs to which half.
pub(super) type Halves = BTreeMap<String, Half>;

#[derive(Deserialize)]
struct Line {
    trace: String,
    half: Half,
}

/// Reads `trace,half,…` lines.
pub(super) fn read(path: &Path) -> Result<Halves, Failure> {
    let refused = |error: csv::Error| {
        let what = "write a header `trace,half,why` and lines with `development` or `judged`";
        Failure::Input(format!("{}: {error}; {what}", path.display()))
    };
    let mut reader = csv::Reader::from_path(path).map_err(refused)?;
    let mut halves = Halves::new();
    for line in reader.deserialize::<Line>() {
        let Line { trace, half } = line.map_err(refused)?;
        if halves.insert(trace.clone(), half).is_some() {
            return Err(Failure::Input(format!("{}: `{trace}` is named twice; keep one line", path.display())));
        }
    }
    Ok(halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of a name that says which system was recorded.
    fn family(trace: &str) -> &str {
        let families = ["azure_llm", "azurefn", "hpa_flask", "k8s_svc1"];
        let named = families.into_iter().find(|family| trace.starts_with(family));
        named.unwrap_or_else(|| trace.split('_').next().unwrap_or(trace))
    }

    #[test]
    fn the_halves_are_about_as_large_and_no_family_is_split() {
        let halves = read(Path::new("simulations/halves.csv")).unwrap();
        let of = |half| halves.values().filter(|other| **other == half).count();
        assert_eq!((of(Half::Development), of(Half::Judged)), (12, 12));
        let mut families: BTreeMap<&str, Half> = BTreeMap::new();
        for (trace, half) in &halves {
            assert_eq!(families.entry(family(trace)).or_insert(*half), half, "{trace} is split from its family");
        }
        assert_eq!(families.len(), 15);
    }

    #[test]
    fn a_half_that_is_none_is_refused_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("halves.csv");
        for (text, expected) in
            [("trace,half\na,other\n", "other"), ("trace,half\na,judged\na,judged\n", "named twice")]
        {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read(&directory.path().join("none.csv")).is_err());
    }
}
