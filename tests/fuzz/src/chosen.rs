//! The target that the environment names, and its corpus.

use crate::{TARGETS, Target};
use std::{env, fs::File, io::Write as _, path::PathBuf};

/// The target that `PIPEROLL_FUZZ_TARGET` names.
///
/// # Panics
/// Where it names none.
pub fn from_environment() -> &'static Target {
    let name = env::var("PIPEROLL_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert!(found.is_some(), "PIPEROLL_FUZZ_TARGET is {name:?}; it names one of {}", names.join(", "));
    found.expect("asserted above")
}

/// Writes the target's seeds into the directory `PIPEROLL_FUZZ_SEEDS`, where that is set.
///
/// # Panics
/// Where the directory cannot be written.
pub fn write_seeds(target: &Target) {
    let Some(folder) = env::var_os("PIPEROLL_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let mut file =
            File::create(folder.join(format!("seed-{number:03}"))).expect("the corpus is writable");
        file.write_all(seed).expect("the corpus is writable");
    }
}
