//! A simulated file: what the device has, what the page cache shows, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use super::faults::Effect;
use super::random::Random;
use crate::mapping::{Frontier, Mapping, SharedBytes};

/// What a device writes whole or not at all, in bytes.
pub(super) const SECTOR: usize = 512;

/// A change that a crash may keep or lose.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The sector of this index, as the cache had it after a write.
    Sector(u64, Arc<[u8; SECTOR]>),
    /// The file's length in bytes; bytes above it are gone.
    Length(u64),
    /// Mode 0444.
    Protect,
}

/// A change with its place among all changes of the disk.
#[derive(Debug, Clone)]
pub(super) struct Stamped<T> {
    pub(super) stamp: u64,
    pub(super) change: T,
}

/// Bytes, and their hash once somebody asked for it.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    hash: OnceLock<[u8; 32]>,
}

impl Clone for Content {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), hash: OnceLock::new() }
    }
}

/// What a device has of a file. Disks that came out of a crash share what they have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    content: Arc<Content>,
    pub(super) protected: bool,
    /// What sectors had before they were last written.
    before: Arc<BTreeMap<u64, Arc<[u8; SECTOR]>>>,
}

impl Stored {
    /// Bytes that were always there.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { content: Arc::new(Content { bytes, hash: OnceLock::new() }), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.content.bytes
    }

    /// BLAKE3 of the bytes.
    pub(super) fn hash(&self) -> [u8; 32] {
        *self.content.hash.get_or_init(|| *blake3::hash(&self.content.bytes).as_bytes())
    }

    /// Puts down `changes`, in their order.
    pub(super) fn apply<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return;
        }
        let content = Arc::make_mut(&mut self.content);
        content.hash = OnceLock::new();
        let bytes = &mut content.bytes;
        // Sectors may be written above a length that comes later, or was lost.
        let mut length = bytes.len();
        for change in changes {
            match change {
                Change::Sector(index, sector) => {
                    let start = usize::try_from(*index).unwrap_or(usize::MAX).saturating_mul(SECTOR);
                    let end = start.saturating_add(SECTOR);
                    bytes.resize(bytes.len().max(end), 0);
                    let Some(to) = bytes.get_mut(start..end) else { continue };
                    let mut old = [0; SECTOR];
                    old.copy_from_slice(to);
                    Arc::make_mut(&mut self.before).insert(*index, Arc::new(old));
                    to.copy_from_slice(&**sector);
                }
                Change::Length(new) => {
                    let new = usize::try_from(*new).unwrap_or(usize::MAX);
                    if new < length {
                        bytes.truncate(new);
                    }
                    length = new;
                }
                Change::Protect => self.protected = true,
            }
        }
        bytes.resize(length, 0);
    }
}

/// The page cache of a file.
#[derive(Debug)]
struct Cache {
    bytes: Arc<SharedBytes>,
    /// Smaller caches that maps still show: what is written below their capacity is written there too.
    older: Vec<Weak<SharedBytes>>,
}

/// A simulated file.
#[derive(Debug)]
pub(super) struct File {
    /// The name it has or had last.
    pub(super) path: Arc<Path>,
    pub(super) stored: Stored,
    /// In the order in which they were made; a crash keeps any of them.
    pub(super) unsynced: Vec<Stamped<Change>>,
    /// Sectors whose sync failed: the cache shows them, no later sync writes them, a crash keeps any.
    pub(super) refused: Vec<Stamped<Change>>,
    pub(super) length: u64,
    pub(super) protected: bool,
    pub(super) locked: bool,
    pub(super) handles: u64,
    /// Made at the first write or map; before, the device has all there is.
    cache: Option<Cache>,
    frontier: Arc<Frontier>,
}

impl File {
    pub(super) fn new(path: Arc<Path>, stored: Stored) -> Self {
        Self {
            path,
            length: stored.bytes().len() as u64,
            protected: stored.protected,
            stored,
            unsynced: Vec::new(),
            refused: Vec::new(),
            locked: false,
            handles: 0,
            cache: None,
            frontier: Frontier::new(),
        }
    }

    /// Writes to the cache; `stamp` orders the changes.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, stamp: &mut u64) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.put(bytes, offset, end.max(self.length))?;
        if end > self.length {
            self.set_length(end, stamp);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let sector = SECTOR as u64;
        let touched = offset / sector..end.div_ceil(sector);
        let mut new = Vec::new();
        for index in touched {
            let mut content = [0; SECTOR];
            self.read(&mut content, index.saturating_mul(sector));
            if self.differs(index, &content) {
                new.push(Stamped { stamp: next(stamp), change: Change::Sector(index, Arc::new(content)) });
            }
        }
        self.unsynced.append(&mut new);
        Ok(())
    }

    /// Whether a crash could tell this content of a sector from what the device has or may have.
    fn differs(&self, index: u64, content: &[u8; SECTOR]) -> bool {
        let same =
            |change: &Stamped<Change>| matches!(change.change, Change::Sector(other, _) if other == index);
        if self.unsynced.iter().chain(&self.refused).any(same) {
            return true;
        }
        let start = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(SECTOR);
        let stored = self.stored.bytes().get(start..).unwrap_or_default();
        let stored = stored.get(..SECTOR).unwrap_or(stored);
        let (same, above) = content.split_at_checked(stored.len()).unwrap_or((content, &[]));
        same != stored || above.iter().any(|&byte| byte != 0)
    }

    /// Reads from the cache; says how many bytes there were.
    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        let into = into.get_mut(..count).unwrap_or_default();
        match &self.cache {
            Some(cache) => {
                cache.bytes.read(into, offset);
            }
            None => self.read_stored(into, offset),
        }
        count
    }

    /// BLAKE3 of its bytes as they are seen now.
    pub(super) fn hash(&self) -> [u8; 32] {
        if self.unsynced.is_empty() && self.refused.is_empty() {
            return self.stored.hash();
        }
        let mut bytes = vec![0; usize::try_from(self.length).unwrap_or(usize::MAX)];
        self.read(&mut bytes, 0);
        *blake3::hash(&bytes).as_bytes()
    }

    /// Reads from the device; what it has not is zero.
    pub(super) fn read_stored(&self, into: &mut [u8], offset: u64) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let stored = self.stored.bytes().get(offset..).unwrap_or_default();
        let stored = stored.get(..into.len()).unwrap_or(stored);
        let Some((there, above)) = into.split_at_mut_checked(stored.len()) else { return };
        there.copy_from_slice(stored);
        above.fill(0);
    }

    /// Makes `found`, which was read at `offset`, what a device or cable that errs gives instead.
    pub(super) fn read_wrongly(&self, found: &mut [u8], offset: u64, effect: Option<Effect>) {
        let sector = SECTOR as u64;
        let last = offset.saturating_add((found.len() as u64).saturating_sub(1)) / sector;
        let touched = last.saturating_sub(offset / sector).saturating_add(1);
        let (index, content) = match effect {
            Some(Effect::FlipBit(bit)) => return flip(found, bit),
            Some(Effect::Stale(number)) => {
                let index = offset / sector + number % touched;
                (index, self.stale(index))
            }
            Some(Effect::Misdirected(number)) => {
                let index = offset / sector + number % touched;
                let mut content = [0; SECTOR];
                self.read_stored(&mut content, index.saturating_add(1).saturating_mul(sector));
                (index, content)
            }
            _ => return,
        };
        let begin = index.saturating_mul(sector);
        for (at, byte) in (begin..).zip(content.iter()) {
            let place = at.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
            place.and_then(|place| found.get_mut(place)).into_iter().for_each(|to| *to = *byte);
        }
    }

    /// What the device has, or had, of a sector before it was last written.
    fn stale(&self, index: u64) -> [u8; SECTOR] {
        let waits =
            self.unsynced.iter().chain(&self.refused).any(|change| sector_of(&change.change) == Some(index));
        if let Some(before) = self.stored.before.get(&index).filter(|_| !waits) {
            return **before;
        }
        let mut content = [0; SECTOR];
        self.read_stored(&mut content, index.saturating_mul(SECTOR as u64));
        content
    }

    /// Sets the length; what lies above is zero from then on.
    pub(super) fn truncate(&mut self, length: u64, stamp: &mut u64) -> Result<()> {
        if length < self.length {
            let gone = usize::try_from(self.length.saturating_sub(length)).unwrap_or(usize::MAX);
            self.put(&vec![0; gone], length, self.length)?;
            self.frontier.change(length)?.cut(length);
        } else {
            self.put(&[], length, length)?;
        }
        if length != self.length {
            self.set_length(length, stamp);
        }
        Ok(())
    }

    /// Puts `bytes` into the cache, which then has room for `capacity`.
    fn put(&mut self, bytes: &[u8], offset: u64, capacity: u64) -> Result<()> {
        self.reserve(capacity);
        let Some(cache) = &mut self.cache else { return Ok(()) };
        let change = self.frontier.change(offset)?;
        cache.older.retain(|older| older.strong_count() > 0);
        cache.older.iter().filter_map(Weak::upgrade).for_each(|older| older.write(&change, bytes, offset));
        cache.bytes.write(&change, bytes, offset);
        change.grown(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn reserve(&mut self, capacity: u64) {
        let old = self.cache.as_ref().map(|cache| &cache.bytes);
        if old.is_some_and(|bytes| bytes.capacity() >= capacity) {
            return;
        }
        // Twice the size of before, so that a file that grows byte by byte is not copied at each.
        let twice = old.map_or(0, |bytes| bytes.capacity().saturating_mul(2));
        let capacity = usize::try_from(capacity.max(twice).max(self.length)).unwrap_or(usize::MAX);
        let mut content = vec![0; capacity].into_boxed_slice();
        self.read(&mut content, 0);
        let bytes = SharedBytes::new(content, &self.frontier);
        let before = self.cache.take();
        let mut older = before.as_ref().map(|cache| cache.older.clone()).unwrap_or_default();
        older.extend(before.iter().map(|cache| Arc::downgrade(&cache.bytes)));
        self.cache = Some(Cache { bytes, older });
    }

    fn set_length(&mut self, length: u64, stamp: &mut u64) {
        self.length = length;
        self.unsynced.push(Stamped { stamp: next(stamp), change: Change::Length(length) });
    }

    pub(super) fn protect(&mut self, stamp: &mut u64) {
        if !self.protected {
            self.protected = true;
            self.unsynced.push(Stamped { stamp: next(stamp), change: Change::Protect });
        }
    }

    /// The device takes everything that waits.
    pub(super) fn sync(&mut self) {
        let changes = std::mem::take(&mut self.unsynced);
        if !self.refused.is_empty() {
            let index = |change: &Stamped<Change>| sector_of(&change.change);
            let written: BTreeSet<u64> = changes.iter().filter_map(index).collect();
            self.refused.retain(|refused| index(refused).is_none_or(|index| !written.contains(&index)));
        }
        self.stored.apply(changes.iter().map(|stamped| &stamped.change));
    }

    /// The device refuses the sectors that wait; the cache believes them clean.
    pub(super) fn refuse(&mut self) {
        let changes = std::mem::take(&mut self.unsynced);
        let (sectors, rest) = changes.into_iter().partition(|stamped| sector_of(&stamped.change).is_some());
        self.unsynced = rest;
        self.refused.extend::<Vec<_>>(sectors);
    }

    /// The cache forgets what was refused, and reads again what the device has: of each sector old or new.
    pub(super) fn evict(&mut self, random: &mut Random) {
        if self.refused.is_empty() {
            return;
        }
        let refused = std::mem::take(&mut self.refused);
        self.stored.apply(refused.iter().filter(|_| random.chance(1, 2)).map(|stamped| &stamped.change));
        let mut shown = self.stored.clone();
        shown.apply(self.unsynced.iter().map(|stamped| &stamped.change));
        // Maps that are alive keep what they showed.
        self.frontier = Frontier::new();
        let bytes = SharedBytes::new(shown.bytes().into(), &self.frontier);
        self.cache = Some(Cache { bytes, older: Vec::new() });
    }

    pub(super) fn map(&mut self, length: u64) -> Result<Mapping> {
        self.reserve(self.length.max(1));
        let Some(cache) = &self.cache else { return Err(std::io::ErrorKind::InvalidInput.into()) };
        Mapping::of_shared(&cache.bytes, length, self.length)
    }

    /// A map of pages that came wrong from the device, and stay so; what is written later shows through it.
    pub(super) fn map_wrongly(&mut self, length: u64, effect: Option<Effect>) -> Result<Mapping> {
        self.reserve(self.length.max(1));
        let mut shown = vec![0; usize::try_from(self.length).unwrap_or(usize::MAX)];
        self.read(&mut shown, 0);
        self.read_wrongly(&mut shown, 0, effect);
        let bytes = SharedBytes::new(shown.into(), &self.frontier);
        let Some(cache) = &mut self.cache else { return Err(std::io::ErrorKind::InvalidInput.into()) };
        cache.older.push(Arc::downgrade(&bytes));
        Mapping::of_shared(&bytes, length, self.length)
    }
}

/// Turns one bit of `bytes`, the number taken modulo their bits.
fn flip(bytes: &mut [u8], bit: u64) {
    let bits = (bytes.len() as u64).saturating_mul(8);
    let Some(bit) = bit.checked_rem(bits) else { return };
    let index = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    bytes.get_mut(index).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
}

fn sector_of(change: &Change) -> Option<u64> {
    if let Change::Sector(index, _) = change { Some(*index) } else { None }
}

/// The next stamp.
pub(super) fn next(stamp: &mut u64) -> u64 {
    *stamp = stamp.saturating_add(1);
    *stamp
}
