//! Damage: every file of a store at rest is flipped, cut, emptied or taken away, place by place. What is read
//! then is what was written, or an error; never something else, and never less that looks whole.

use piperoll_store::disk::{Disk as _, EntryKind};
use piperoll_store::sim::{Crash, Random, SimDisk};
use std::path::{Path, PathBuf};

use crate::message::CLASSES;
use crate::oracle::Content;
use crate::script::{Step, tour};
use crate::setting;
use crate::world::{World, small_options};

/// A store that is closed and wholly marked, and what is in it.
fn at_rest() -> (World, Content) {
    let mut world = World::new(4, small_options());
    world.open().expect("opens");
    for step in tour() {
        world.step(&step).expect("promises hold");
    }
    // One log with a segment that is full and not sealed.
    for step in [Step::Roll, Step::Round] {
        world.step(&step).expect("promises hold");
    }
    let content = world.content().expect("read");
    world.close();
    (world, content)
}

/// All files below a directory.
fn files(disk: &SimDisk, dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in disk.list(dir).expect("listed") {
        let at = dir.join(entry.name);
        match entry.kind {
            EntryKind::File => found.push(at),
            _ => found.extend(files(disk, &at)),
        }
    }
    found
}

/// What came of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// The start or the read said what is damaged, or the log that misses something does.
    Told,
}

fn outcome(world: &World, content: &Content, disk: SimDisk) -> Result<Outcome, String> {
    let mut world = world.after(disk);
    if world.open().is_err() {
        return Ok(Outcome::Told);
    }
    let Ok(found) = world.content() else { return Ok(Outcome::Told) };
    if found == *content {
        return Ok(Outcome::Whole);
    }
    let refused = world.refused_classes()?;
    for ((found, expected), class) in found.iter().zip(content).zip(CLASSES) {
        if let Some(event) = found.iter().find(|event| !expected.contains(event)) {
            return Err(format!("{class}@{} was never stored like this", event.sequence));
        }
        if found.len() < expected.len() && !refused.iter().any(|refused| refused == class) {
            return Err(format!("{class} has {} events of {} and says nothing", found.len(), expected.len()));
        }
    }
    Ok(Outcome::Told)
}

fn check(
    what: &str,
    at: &Path,
    (world, content): &(World, Content),
    change: impl FnOnce(&mut Vec<u8>),
) -> Outcome {
    let disk = world.disk.crash(Crash::Everything);
    disk.corrupt(at, change).expect("changed");
    outcome(world, content, disk).unwrap_or_else(|text| panic!("{} {what}: {text}", at.display()))
}

fn ends(at: &Path, ending: &str) -> bool {
    at.extension().is_some_and(|found| found == ending)
}

#[test]
fn no_flipped_bit_changes_an_answer() {
    let rest = at_rest();
    let mut random = Random::new(5);
    // Every place in the long form, else one of some.
    let step = setting("PIPEROLL_DAMAGE_STEP", 23);
    for at in files(&rest.0.disk, Path::new("")) {
        let length = rest.0.disk.contents(&at).expect("there").len() as u64;
        let mut place = random.below(step);
        while place < length {
            let bit = random.below(8);
            let index = usize::try_from(place).expect("fits");
            let outcome =
                check(&format!("bit {bit} of {place}"), &at, &rest, |bytes| bytes[index] ^= 1 << bit);
            // What is derived is made again.
            assert!(!ends(&at, "idx") || outcome == Outcome::Whole, "{} {place}", at.display());
            place += 1 + random.below(2 * step);
        }
    }
}

#[test]
fn no_file_that_is_cut_or_gone_shortens_an_answer() {
    let rest = at_rest();
    for at in files(&rest.0.disk, Path::new("")) {
        let length = rest.0.disk.contents(&at).expect("there").len();
        for keep in (0..length).step_by(1 + length / 16) {
            let outcome = check(&format!("cut to {keep}"), &at, &rest, |bytes| bytes.truncate(keep));
            assert!(!ends(&at, "idx") || outcome == Outcome::Whole, "{} {keep}", at.display());
        }
        let disk = rest.0.disk.crash(Crash::Everything);
        disk.unlink(&at).expect("gone");
        let back =
            outcome(&rest.0, &rest.1, disk).unwrap_or_else(|text| panic!("{} gone: {text}", at.display()));
        assert!(!ends(&at, "idx") || back == Outcome::Whole, "{} gone", at.display());
    }
}
