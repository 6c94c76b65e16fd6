//! Damage: every file of a store at rest is flipped, cut, emptied or taken away, place by place. What is read
//! then is what was written, or an error; never something else, and never less that looks whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use piperoll_store::disk::{Disk as _, EntryKind};
use piperoll_store::sim::{Crash, Random, SimDisk};

use crate::message::{CLASSES, Message};
use crate::oracle::Content;
use crate::script::{Step, tour};
use crate::setting;
use crate::tally::on_all_cores;
use crate::world::{World, small_options};

/// A store that is closed and wholly marked, and what is in it.
pub(crate) fn at_rest() -> (World, Content) {
    let mut world = World::new(4, small_options());
    world.open().expect("opens");
    for step in tour() {
        world.step(&step).expect("promises hold");
    }
    // One log with a segment that is full and not sealed.
    for step in [Step::Roll, Step::Round] {
        world.step(&step).expect("promises hold");
    }
    closed(world)
}

/// As [`at_rest`], with files of all kinds, some 115 KB.
fn large_at_rest() -> (World, Content) {
    let (mut world, _) = at_rest();
    world.options.segment_bytes_max = 16_384;
    world.options.allocate_bytes_max = 16_384;
    world.options.group_bytes_max = 8_192;
    world.open().expect("opens");
    for number in 100..160 {
        let classes = [[0, 1], [1, 1], [2, 0], [1, 2]][number % 4];
        let producer = Some((20 + number as u64 % 3, number as u64));
        let message = Message::new(number, producer, &classes, 10 + (number * 37) % 900);
        world.step(&Step::Send(vec![message])).expect("promises hold");
        if number == 150 {
            world.step(&Step::Seal).expect("promises hold");
            world.step(&Step::Roll).expect("promises hold");
        }
    }
    world.step(&Step::Round).expect("promises hold");
    closed(world)
}

fn closed(mut world: World) -> (World, Content) {
    let content = world.content().expect("read");
    world.check(false).expect("promises hold");
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// Everything is there, and what was found and mended is told.
    Mended(String),
    /// The start or the read said what is damaged, or the log that misses something does.
    Told(String),
}

fn outcome(world: &World, content: &Content, disk: SimDisk) -> Result<Outcome, String> {
    let mut world = world.after(disk);
    if let Err(text) = world.open() {
        return Ok(Outcome::Told(text));
    }
    let found = world.content();
    let refused = world.refusals_of_classes()?;
    // What was sent is sent again: nothing is stored twice.
    world.retry_kept()?;
    world.check_told()?;
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(Outcome::Told(error.to_string())),
    };
    let words = refused.values().cloned().collect::<Vec<_>>().join("\n");
    if found == *content {
        let notes = world.take_notes()?.join("\n");
        return Ok(match (words.is_empty(), notes.is_empty()) {
            (false, _) => Outcome::Told(words),
            (true, false) => Outcome::Mended(notes),
            (true, true) => Outcome::Whole,
        });
    }
    for ((found, expected), class) in found.iter().zip(content).zip(CLASSES) {
        if let Some(event) = found.iter().find(|event| !expected.contains(event)) {
            return Err(format!("{class}@{} was never stored like this", event.sequence));
        }
        if found.len() < expected.len() && !refused.contains_key(class) {
            return Err(format!("{class} has {} events of {} and says nothing", found.len(), expected.len()));
        }
    }
    Ok(Outcome::Told(words))
}

fn check(
    what: &str,
    at: &Path,
    (world, content): &(World, Content),
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Outcome, String> {
    let disk = world.disk.crash(Crash::Everything);
    disk.corrupt(at, change).expect("changed");
    outcome(world, content, disk).map_err(|text| format!("{} {what}: {text}", at.display()))
}

fn ends(at: &Path, ending: &str) -> bool {
    at.extension().is_some_and(|found| found == ending)
}

/// What kind of file this is, and for a segment the state that it is in.
fn kind(disk: &SimDisk, at: &Path) -> String {
    let name = at.file_name().expect("a name").to_string_lossy().into_owned();
    if ends(at, "log") && disk.contents(at.with_extension("seal")).is_ok() {
        return "sealed .log".to_owned();
    }
    if ends(at, "log") {
        let logs = files(disk, at.parent().expect("a directory"));
        let is_last = logs.iter().filter(|other| ends(other, "log")).all(|other| other <= at);
        return if is_last { "active .log" } else { "closed .log" }.to_owned();
    }
    match name.split_once('.') {
        Some((first, ending)) if first.bytes().all(|byte| byte.is_ascii_digit()) => format!(".{ending}"),
        _ => name,
    }
}

/// R16, R18, R19, R20: a bit is flipped in every byte, or in some; what comes of it is counted for each kind of file.
#[test]
fn no_flipped_bit_changes_an_answer() {
    // Every place of the large store in the long form, else one of some of the small one.
    let step = setting("PIPEROLL_DAMAGE_STEP", 23);
    let rest = if step == 1 { large_at_rest() } else { at_rest() };
    let mut random = Random::new(5);
    let mut flips = Vec::new();
    for at in files(&rest.0.disk, Path::new("")) {
        let length = rest.0.disk.contents(&at).expect("there").len() as u64;
        let mut place = random.below(step);
        while place < length {
            flips.push((at.clone(), usize::try_from(place).expect("fits"), random.below(8)));
            place += if step == 1 { 1 } else { 1 + random.below(2 * step) };
        }
    }
    let counts: Mutex<BTreeMap<String, [u64; 3]>> = Mutex::default();
    on_all_cores(flips.len() as u64, |flip| {
        let (at, place, bit) = &flips[usize::try_from(flip).expect("few")];
        let outcome = check(&format!("bit {bit} of {place}"), at, &rest, |bytes| bytes[*place] ^= 1 << bit)?;
        // What is derived is made again.
        if ends(at, "idx") && matches!(outcome, Outcome::Told(_)) {
            return Err(format!("{} {place}: {outcome:?}", at.display()));
        }
        let column = match &outcome {
            Outcome::Whole => 0,
            Outcome::Mended(text) | Outcome::Told(text) if !text.contains(&at.display().to_string()) => {
                return Err(format!("{} {place} is not named: {text}", at.display()));
            }
            Outcome::Mended(_) => 1,
            Outcome::Told(_) => 2,
        };
        let kind = kind(&rest.0.disk, at);
        counts.lock().expect("no panic before").entry(kind).or_default()[column] += 1;
        Ok(())
    })
    .unwrap_or_else(|text| panic!("{text}"));
    for (kind, [harmless, mended, told]) in counts.into_inner().expect("no panic before") {
        let flips = harmless + mended + told;
        eprintln!("{kind}: {flips} flips, {told} refused, {mended} told and mended, {harmless} harmless");
    }
}

#[test]
fn no_file_that_is_cut_or_gone_shortens_an_answer() {
    let rest = at_rest();
    let all = files(&rest.0.disk, Path::new(""));
    on_all_cores(all.len() as u64, |number| {
        let at = &all[usize::try_from(number).expect("few")];
        let length = rest.0.disk.contents(at).expect("there").len();
        let is_derived = ends(at, "idx");
        for keep in (0..length).step_by(1 + length / 16) {
            let outcome = check(&format!("cut to {keep}"), at, &rest, |bytes| bytes.truncate(keep))?;
            if is_derived && matches!(outcome, Outcome::Told(_)) {
                return Err(format!("{} cut to {keep}: {outcome:?}", at.display()));
            }
        }
        let disk = rest.0.disk.crash(Crash::Everything);
        disk.unlink(at).expect("gone");
        let back =
            outcome(&rest.0, &rest.1, disk).map_err(|text| format!("{} gone: {text}", at.display()))?;
        if is_derived && matches!(back, Outcome::Told(_)) {
            return Err(format!("{} gone: {back:?}", at.display()));
        }
        Ok(())
    })
    .unwrap_or_else(|text| panic!("{text}"));
}
