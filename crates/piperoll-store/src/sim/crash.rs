//! What a machine finds after its power came back: of everything that was not synced, any part.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::directory::{Directory, NodeId, apply};
use super::file::{File, Stamped};
use super::random::Random;
use super::{Node, State};

/// Undecided changes up to which every combination can be listed.
const ALL_COMBINATIONS_MAX: usize = 20;

/// Which of the undecided changes survive, in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// None: the disk has what was synced.
    Nothing,
    /// All: as if the process alone had died and the cache had been written.
    Everything,
    /// The first so many.
    First(u64),
    /// All but the first so many.
    AllButFirst(u64),
    /// All but this one.
    AllBut(u64),
    /// This one alone.
    Only(u64),
    /// Those whose bit is set; later ones are lost.
    These(u64),
    /// Each by chance; the seed also says how often.
    Random(u64),
}

impl Crash {
    /// Up to `count` different crashes of a disk with `undecided` changes: all combinations when they are
    /// that few, else the telling shapes and then chance, both by `seed`.
    pub fn shapes(undecided: usize, count: usize, seed: u64) -> Vec<Self> {
        if undecided <= ALL_COMBINATIONS_MAX && 1_u64.checked_shl(bits(undecided)) <= Some(count as u64) {
            return (0..1_u64 << undecided).map(Self::These).collect();
        }
        let mut random = Random::new(seed);
        let mut shapes = vec![Self::Nothing, Self::Everything];
        while shapes.len() < count {
            let one = random.below(undecided as u64);
            let shape = match random.below(8) {
                0 => Self::First(one),
                1 => Self::AllButFirst(one),
                2 => Self::AllBut(one),
                3 => Self::Only(one),
                _ => Self::Random(random.number()),
            };
            shapes.push(shape);
        }
        shapes.truncate(count);
        shapes
    }

    /// For each of `undecided` changes whether it survives.
    fn decide(self, undecided: usize) -> Vec<bool> {
        let mut random = Random::new(if let Self::Random(seed) = self { seed } else { 0 });
        let often = [1, 4, 7].get(usize::try_from(random.below(3)).unwrap_or(0)).copied().unwrap_or(4);
        (0..undecided as u64)
            .map(|index| match self {
                Self::Nothing => false,
                Self::Everything => true,
                Self::First(count) => index < count,
                Self::AllButFirst(count) => index >= count,
                Self::AllBut(one) => index != one,
                Self::Only(one) => index == one,
                Self::These(mask) => index < 64 && (mask >> index) & 1 == 1,
                Self::Random(_) => random.chance(often, 8),
            })
            .collect()
    }
}

fn bits(undecided: usize) -> u32 {
    u32::try_from(undecided).unwrap_or(u32::MAX)
}

/// The stamps of all changes that a crash may keep or lose, ascending.
pub(super) fn undecided(state: &State) -> Vec<u64> {
    let mut stamps = Vec::new();
    for id in possible(state) {
        match state.nodes.get(id) {
            Some(Node::File(file)) => {
                stamps.extend(file.refused.iter().chain(&file.unsynced).map(|stamped| stamped.stamp));
            }
            Some(Node::Directory(directory)) => {
                stamps.extend(directory.unsynced.iter().map(|stamped| stamped.stamp));
            }
            None => {}
        }
    }
    stamps.sort_unstable();
    stamps
}

/// Every node that some crash could find below the root.
fn possible(state: &State) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![super::ROOT];
    while let Some(id) = waiting.pop() {
        if found.insert(id)
            && let Some(Node::Directory(directory)) = state.nodes.get(id)
        {
            waiting.extend(directory.possible());
        }
    }
    found
}

/// The disk that is found after `crash`.
pub(super) fn survivors(state: &State, crash: Crash) -> State {
    let undecided = undecided(state);
    let decisions = crash.decide(undecided.len());
    let at = |stamp: u64| undecided.binary_search(&stamp).ok();
    let lives = |stamp: u64| at(stamp).and_then(|at| decisions.get(at).copied()).unwrap_or(false);
    let nodes = state.nodes.iter().map(|node| match node {
        Node::File(file) => Node::File(surviving_file(file, lives)),
        Node::Directory(directory) => Node::Directory(surviving_names(directory, lives)),
    });
    let calls = state.calls.begin_again();
    State { nodes: nodes.collect(), capacity: state.capacity, calls, ..State::default() }
}

fn surviving_file(file: &File, lives: impl Fn(u64) -> bool) -> File {
    let mut stored = file.stored.clone();
    let kept = |stamped: &&Stamped<_>| lives(stamped.stamp);
    // What was refused is older than what waits, or of other sectors.
    stored.apply(file.refused.iter().chain(&file.unsynced).filter(kept).map(|stamped| &stamped.change));
    File::new(Arc::clone(&file.path), stored)
}

fn surviving_names(directory: &Directory, lives: impl Fn(u64) -> bool) -> Directory {
    let mut names = directory.stored.clone();
    for stamped in directory.unsynced.iter().filter(|stamped| lives(stamped.stamp)) {
        apply(&mut names, &stamped.change);
    }
    Directory { seen: names.clone(), stored: names, unsynced: Vec::new() }
}

/// Names, modes and contents of everything that has a name, in the order of names.
pub(super) fn fingerprint(state: &State) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut waiting = vec![super::ROOT];
    while let Some(id) = waiting.pop() {
        match state.nodes.get(id) {
            Some(Node::File(file)) if file.unsynced.is_empty() && file.refused.is_empty() => {
                hasher.update(&[1, u8::from(file.protected)]).update(&file.stored.hash());
            }
            Some(Node::File(file)) => {
                let mut bytes = vec![0; usize::try_from(file.length).unwrap_or(usize::MAX)];
                file.read(&mut bytes, 0);
                hasher.update(&[1, u8::from(file.protected)]).update(blake3::hash(&bytes).as_bytes());
            }
            Some(Node::Directory(directory)) => {
                hasher.update(&[2]).update(&(directory.seen.len() as u64).to_le_bytes());
                for (name, &id) in &directory.seen {
                    let name = name.as_encoded_bytes();
                    hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
                    waiting.push(id);
                }
            }
            None => {}
        }
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}
