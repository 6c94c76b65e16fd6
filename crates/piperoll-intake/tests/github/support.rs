//! The payloads: those that piperoll ships, and our own for the kinds that they lack.

use piperoll_intake::{Event, github};
use std::{fs, path::Path};

/// One payload file.
pub(crate) struct Sample {
    /// `kind/file`, with `own/` before it for our own.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
}

impl Sample {
    pub(crate) fn event(&self) -> Event {
        github(&self.kind, None, &self.payload).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// All of them, in order.
pub(crate) fn samples() -> Vec<Sample> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    collect(&here.join("../piperoll-samples/github-webhooks"), "", &mut all);
    collect(&here.join("tests/payloads"), "own/", &mut all);
    assert!(all.len() > 270, "only {} payloads found", all.len());
    all
}

fn collect(root: &Path, prefix: &str, all: &mut Vec<Sample>) {
    for kind in sorted(root).into_iter().filter(|kind| root.join(kind).is_dir()) {
        for file in sorted(&root.join(&kind)) {
            let payload = fs::read(root.join(&kind).join(&file)).unwrap();
            let name = format!("{prefix}{kind}/{}", file.trim_end_matches(".json"));
            all.push(Sample { name, kind: kind.clone(), payload });
        }
    }
}

fn sorted(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
