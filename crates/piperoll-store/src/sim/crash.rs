//! What a machine finds after its power came back: of everything that was not synced, any part.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::directory::{Directory, NameChange, Names, NodeId, apply};
use super::faults::Calls;
use super::file::{Change, File, Stored};
use super::random::Random;
use super::{Node, SimDisk, State};

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

/// What is left of a file or directory: what the device has, and what a crash may keep or lose of it.
#[derive(Debug)]
struct Remains {
    what: What,
    /// Each way in which it may be found, made when it is first asked for.
    ways: Vec<Way>,
    /// The ways by which of the changes survived.
    by_survivors: HashMap<Vec<bool>, usize>,
    /// The way of the crash that was asked for last.
    chosen: usize,
}

#[derive(Debug)]
enum What {
    /// With the changes in the order in which they are put down; before each its place among all undecided ones.
    File(Arc<Path>, Stored, Vec<(usize, Change)>),
    Directory(Arc<Names>, Vec<(usize, NameChange)>),
}

/// A file or directory as a crash left it.
#[derive(Debug)]
enum Way {
    File(Arc<Path>, Stored),
    Directory(Arc<Names>),
}

impl Remains {
    /// `undecided` has the stamps of all changes that a crash may keep; any other is lost.
    fn of(node: &Node, undecided: &[u64]) -> Self {
        let place = |stamp: u64| undecided.binary_search(&stamp).ok();
        let what = match node {
            Node::File(file) => {
                // What was refused is older than what waits, or of other sectors.
                let changes = file.refused.iter().chain(&file.unsynced);
                let changes = changes.filter_map(|it| Some((place(it.stamp)?, it.change.clone())));
                What::File(Arc::clone(&file.path), file.stored.clone(), changes.collect())
            }
            Node::Directory(directory) => {
                let changes = directory.unsynced.iter();
                let changes = changes.filter_map(|it| Some((place(it.stamp)?, it.change.clone())));
                What::Directory(Arc::clone(&directory.stored), changes.collect())
            }
        };
        Self { what, ways: Vec::new(), by_survivors: HashMap::new(), chosen: 0 }
    }

    /// Chooses the way in which it is found when `lives` says which of all changes survive.
    fn choose(&mut self, lives: &[bool]) {
        let is_kept = |place: &usize| lives.get(*place).copied().unwrap_or(false);
        let survivors: Vec<bool> = match &self.what {
            What::File(_, _, changes) => changes.iter().map(|(place, _)| is_kept(place)).collect(),
            What::Directory(_, changes) => changes.iter().map(|(place, _)| is_kept(place)).collect(),
        };
        if survivors.is_empty() && !self.ways.is_empty() {
            return;
        }
        if let Some(known) = self.by_survivors.get(&survivors) {
            self.chosen = *known;
            return;
        }
        self.chosen = self.ways.len();
        self.ways.push(self.what.found(&survivors));
        self.by_survivors.insert(survivors, self.chosen);
    }

    fn way(&self) -> Option<&Way> {
        self.ways.get(self.chosen)
    }
}

impl What {
    /// The node with those of its changes that survived.
    fn found(&self, survivors: &[bool]) -> Way {
        match self {
            Self::File(path, stored, changes) => {
                let mut stored = stored.clone();
                stored.apply(kept(changes, survivors));
                Way::File(Arc::clone(path), stored)
            }
            Self::Directory(names, changes) => {
                let mut names = Arc::clone(names);
                kept(changes, survivors).for_each(|change| apply(Arc::make_mut(&mut names), change));
                Way::Directory(names)
            }
        }
    }
}

fn kept<'a, T>(changes: &'a [(usize, T)], survivors: &'a [bool]) -> impl Iterator<Item = &'a T> {
    changes.iter().zip(survivors).filter(|(_, lives)| **lives).map(|((_, change), _)| change)
}

/// A disk at the moment of a crash, from which every disk can be had that may be found after it. What they have in
/// common is made and hashed once, and shared.
#[derive(Debug)]
pub struct Wreck {
    nodes: Vec<Remains>,
    undecided: usize,
    capacity: Option<u64>,
    calls: Calls,
}

impl Wreck {
    pub(super) fn of(state: &State) -> Self {
        let undecided = undecided(state);
        Self {
            nodes: state.nodes.iter().map(|node| Remains::of(node, &undecided)).collect(),
            undecided: undecided.len(),
            capacity: state.capacity,
            calls: state.calls.begin_again(),
        }
    }

    /// How many changes the crash may keep or lose.
    pub fn undecided(&self) -> usize {
        self.undecided
    }

    /// What is found after `crash`.
    pub fn after(&mut self, crash: Crash) -> Found<'_> {
        let lives = crash.decide(self.undecided);
        self.nodes.iter_mut().for_each(|node| node.choose(&lives));
        Found(self)
    }
}

/// One way in which a [`Wreck`] may be found.
#[derive(Debug)]
pub struct Found<'a>(&'a Wreck);

impl Found<'_> {
    /// The fingerprint that the disk will have; see [`SimDisk::fingerprint`].
    pub fn fingerprint(&self) -> [u8; 16] {
        print(|id| match self.0.nodes.get(id)?.way()? {
            Way::File(_, stored) => Some(Print::File(stored.protected, stored.hash())),
            Way::Directory(names) => Some(Print::Directory(names)),
        })
    }

    /// The disk. Calls are counted from 0 again, and no fault is planned.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        let node = |way: &Way| match way {
            Way::File(path, stored) => Node::File(File::new(Arc::clone(path), stored.clone())),
            Way::Directory(names) => Node::Directory(Directory::at_rest(Arc::clone(names))),
        };
        let nodes = self.0.nodes.iter().filter_map(|remains| remains.way().map(node));
        let Wreck { capacity, ref calls, .. } = *self.0;
        SimDisk::over(State { nodes: nodes.collect(), capacity, calls: calls.clone(), ..State::default() })
    }
}

/// What of a node goes into a fingerprint.
enum Print<'a> {
    /// Whether it is read-only, and the hash of its bytes.
    File(bool, [u8; 32]),
    Directory(&'a Names),
}

/// Names, modes and contents of everything that has a name, in the order of names.
fn print<'a>(node: impl Fn(NodeId) -> Option<Print<'a>>) -> [u8; 16] {
    let mut text = Vec::with_capacity(4_096);
    let mut waiting = vec![super::ROOT];
    while let Some(id) = waiting.pop() {
        match node(id) {
            Some(Print::File(protected, hash)) => {
                text.extend_from_slice(&[1, u8::from(protected)]);
                text.extend_from_slice(&hash);
            }
            Some(Print::Directory(names)) => {
                text.push(2);
                text.extend_from_slice(&(names.len() as u64).to_le_bytes());
                for (name, &id) in names {
                    let name = name.as_encoded_bytes();
                    text.extend_from_slice(&(name.len() as u64).to_le_bytes());
                    text.extend_from_slice(name);
                    waiting.push(id);
                }
            }
            None => {}
        }
    }
    let mut short = [0; 16];
    blake3::Hasher::new().update(&text).finalize_xof().fill(&mut short);
    short
}

/// The fingerprint of a disk as it is seen now.
pub(super) fn fingerprint(state: &State) -> [u8; 16] {
    print(|id| match state.nodes.get(id)? {
        Node::File(file) => Some(Print::File(file.protected, file.hash())),
        Node::Directory(directory) => Some(Print::Directory(&directory.seen)),
    })
}
