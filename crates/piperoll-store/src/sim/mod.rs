//! A disk in memory that does everything a real one may do to us, on command and by seed.
//!
//! [`SimDisk`] keeps for each file what the device has, what the page cache shows, and every change in
//! between: sectors of 512 bytes, lengths, modes; for each directory the names created, renamed and unlinked
//! since it was synced. [`SimDisk::crash`] builds a disk from the durable state and *any* part of those
//! changes, which is all that may be assumed of a disk: no order, no prefix, no length that fits the bytes.
//!
//! A failed sync is modelled as page caches have it: the refused sectors stay readable, are believed clean
//! and so are not written by a later sync that succeeds, until they are written again; a crash, or
//! [`SimDisk::evict`], then shows of each the old or the new content.
//!
//! Clones share the disk: the engine gets one, the test keeps another.

mod crash;
mod directory;
mod faults;
mod file;
mod random;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use self::directory::{Directory, NameChange, NodeId};
use self::faults::Calls;
use self::file::{File, Stored};
use crate::disk::{Disk, DiskFile, Entry, EntryKind, Open, each_name, parent_and_name};
use crate::mapping::Mapping;

pub use self::crash::{Crash, Found, Wreck};
pub use self::faults::{CallKind, Effect, Fault};
pub use self::random::Random;
/// The error numbers that faults are made of.
pub use rustix::io::Errno as ErrorNumber;

/// The root directory's place in the table of nodes.
const ROOT: NodeId = 0;

#[derive(Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    /// Orders all changes that are not durable yet.
    stamp: u64,
    calls: Calls,
    /// Bytes that all files together may have.
    capacity: Option<u64>,
}

/// A simulated disk; see the module.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// What a test does to a disk.
impl SimDisk {
    /// An empty disk without limit or fault.
    pub fn new() -> Self {
        Self::over(State { nodes: vec![Node::Directory(Directory::default())], ..State::default() })
    }

    fn over(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// How many changes the next crash may keep or lose.
    pub fn undecided(&self) -> usize {
        crash::undecided(&self.0.lock()).len()
    }

    /// The disk as it is found after a crash at this moment; this one stays as it is. Calls are counted from
    /// 0 again, and no fault is planned.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        self.wreck().after(crash).disk()
    }

    /// All that this disk may be found as after a crash at this moment.
    pub fn wreck(&self) -> Wreck {
        Wreck::of(&self.0.lock())
    }

    /// Up to `count` crashes that this disk may suffer at this moment; see [`Crash::shapes`].
    pub fn crashes(&self, count: usize, seed: u64) -> Vec<Crash> {
        Crash::shapes(self.undecided(), count, seed)
    }

    /// Calls made so far, from 0.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls.made
    }

    /// Calls of one kind made so far.
    pub fn calls_of(&self, kind: CallKind) -> u64 {
        self.0.lock().calls.of_kind(kind)
    }

    /// Faults that are planned and have not gone off yet.
    pub fn faults_left(&self) -> usize {
        self.0.lock().calls.faults.len()
    }

    /// From now on [`Self::last_calls`] has all calls, not the last few; also on disks that come out of a crash.
    pub fn keep_all_calls(&self) {
        self.0.lock().calls.keeps_all = true;
    }

    /// What a start would find on this disk, in a few bytes: names, modes and contents. Two disks with the same
    /// fingerprint are the same.
    pub fn fingerprint(&self) -> [u8; 16] {
        crash::fingerprint(&self.0.lock())
    }

    /// Before the call of this number the machine stops: it and every later one fails without a trace.
    pub fn stop_at(&self, call: u64) {
        self.0.lock().calls.stop_at = Some(call);
    }

    /// Calls work again, and no fault is planned any more; what the cache shows is as it was, as after the
    /// death of the process alone.
    pub fn heal(&self) {
        let calls = &mut self.0.lock().calls;
        calls.stop_at = None;
        calls.faults.clear();
    }

    /// Plans a fault, beside those already planned.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().calls.faults.push(fault);
    }

    /// All files together may have at most so many bytes from now on.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes that all files together have, preallocated ones too.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// The page cache forgets every sector that a sync refused, and finds the old or the new content.
    pub fn evict(&self, seed: u64) {
        let mut random = Random::new(seed);
        for node in &mut self.0.lock().nodes {
            if let Node::File(file) = node {
                file.evict(&mut random);
            }
        }
    }

    /// The bytes of a file as a reader sees them now; counts as no call.
    pub fn contents(&self, at: impl AsRef<Path>) -> Result<Vec<u8>> {
        let mut state = self.0.lock();
        let id = state.find(at.as_ref())?;
        let file = state.file(id)?;
        let mut bytes = vec![0; usize::try_from(file.length).unwrap_or(usize::MAX)];
        file.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// Changes the bytes of a file behind everybody's back, durably; no handle or map may be alive. The file
    /// is made, in a directory that exists, when it is missing.
    pub fn corrupt(&self, at: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let at = at.as_ref();
        let mut bytes = self.contents(at).unwrap_or_default();
        change(&mut bytes);
        let mut state = self.0.lock();
        let (parent, name) = parent_and_name(at)?;
        let stored = Stored::of(bytes);
        let id = state.add(Node::File(File::new(Arc::from(at), stored)));
        let parent = state.find_named(parent.into_iter().map(Ok))?;
        let directory = state.directory(parent)?;
        for names in [&mut directory.stored, &mut directory.seen] {
            Arc::make_mut(names).insert(name.to_owned(), id);
        }
        Ok(())
    }

    /// The last calls, one a line: number, kind, path, offset and length, error.
    pub fn last_calls(&self) -> String {
        self.0.lock().calls.report()
    }

    /// Runs `act` as one call.
    fn call<T>(
        &self,
        kind: CallKind,
        at: &Path,
        act: impl FnOnce(&mut State, Option<Effect>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.0.lock();
        state.call(kind, &Arc::from(at), [0, 0], act)
    }

    fn opened(&self, id: NodeId, writable: bool, locks: bool) -> SimFile {
        SimFile { disk: self.clone(), id, writable, locks }
    }
}

impl State {
    fn call<T>(
        &mut self,
        kind: CallKind,
        at: &Arc<Path>,
        numbers: [u64; 2],
        act: impl FnOnce(&mut Self, Option<Effect>) -> Result<T>,
    ) -> Result<T> {
        let opens = matches!(kind, CallKind::Open | CallKind::Lock);
        let result = self.calls.begin(kind, at, numbers).and_then(|effect| match effect {
            // The failure of a sync leaves something behind; a call that gives no handle does not.
            Some(Effect::Fail(errno)) if kind != CallKind::SyncData => Err(errno.into()),
            Some(Effect::DoneBut(errno)) if opens => Err(errno.into()),
            Some(Effect::DoneBut(errno)) => act(self, None).and(Err(errno.into())),
            Some(Effect::Room(bytes)) => {
                self.capacity = Some(self.used().saturating_add(bytes));
                act(self, None)
            }
            effect => act(self, effect),
        });
        self.calls.end(result.as_ref().err());
        result
    }

    fn find(&mut self, at: &Path) -> Result<NodeId> {
        self.find_named(each_name(at))
    }

    fn find_named<'a>(&mut self, names: impl IntoIterator<Item = Result<&'a OsStr>>) -> Result<NodeId> {
        names.into_iter().try_fold(ROOT, |id, name| {
            let found = self.directory(id)?.seen.get(name?).copied();
            found.ok_or_else(|| ErrorKind::NotFound.into())
        })
    }

    fn directory(&mut self, id: NodeId) -> Result<&mut Directory> {
        match self.nodes.get_mut(id) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, id: NodeId) -> Result<&mut File> {
        match self.nodes.get_mut(id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The file with the stamps that its changes take.
    fn file_and_stamp(&mut self, id: NodeId) -> Result<(&mut File, &mut u64)> {
        match self.nodes.get_mut(id) {
            Some(Node::File(file)) => Ok((file, &mut self.stamp)),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len().saturating_sub(1)
    }

    /// Adds `node` under the name `at`, which must be free.
    fn link(&mut self, at: &Path, node: Node) -> Result<NodeId> {
        let (parent, name) = parent_and_name(at)?;
        let parent = self.find_named(parent.into_iter().map(Ok))?;
        if self.directory(parent)?.seen.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = self.add(node);
        self.change_names(parent, NameChange::Link(name.to_owned(), id))?;
        Ok(id)
    }

    fn change_names(&mut self, id: NodeId, change: NameChange) -> Result<()> {
        match self.nodes.get_mut(id) {
            Some(Node::Directory(directory)) => directory.change(change, &mut self.stamp),
            _ => return Err(ErrorKind::NotADirectory.into()),
        }
        Ok(())
    }

    fn new_file(&mut self, at: &Path) -> Result<NodeId> {
        self.link(at, Node::File(File::new(Arc::from(at), Stored::default())))
    }

    fn used(&self) -> u64 {
        let mut named = vec![false; self.nodes.len()];
        for node in &self.nodes {
            if let Node::Directory(directory) = node {
                for &id in directory.seen.values() {
                    named.get_mut(id).into_iter().for_each(|named| *named = true);
                }
            }
        }
        let lengths = self.nodes.iter().zip(named).map(|(node, named)| match node {
            Node::File(file) if named || file.handles > 0 => file.length,
            _ => 0,
        });
        lengths.fold(0, u64::saturating_add)
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(self.used()))
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, at: &Path, how: Open) -> Result<SimFile> {
        let id = self.call(CallKind::Open, at, |state, _| {
            let id = match how {
                Open::CreateNew => state.new_file(at)?,
                Open::Read | Open::Append => state.find(at)?,
            };
            let file = state.file(id)?;
            if how == Open::Append && file.protected {
                return Err(Errno::ACCESS.into());
            }
            file.handles = file.handles.saturating_add(1);
            Ok(id)
        })?;
        Ok(self.opened(id, how != Open::Read, false))
    }

    fn make_dir(&self, at: &Path) -> Result<()> {
        self.call(CallKind::MakeDir, at, |state, _| {
            state.link(at, Node::Directory(Directory::default())).map(drop)
        })
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        self.call(CallKind::List, dir, |state, _| {
            let id = state.find(dir)?;
            let names = Arc::clone(&state.directory(id)?.seen);
            let entry = |(name, &id): (&OsString, &NodeId)| {
                let is_file = state.file(id).is_ok();
                let kind = if is_file { EntryKind::File } else { EntryKind::Directory };
                Entry { name: name.clone(), kind }
            };
            Ok(names.iter().map(entry).collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(CallKind::Rename, to, |state, _| {
            let (parent, name) = parent_and_name(from)?;
            let (to_parent, to_name) = parent_and_name(to)?;
            if parent != to_parent {
                let text = "a file is renamed within its directory only";
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
            let id = state.find(from)?;
            state.file(id)?.path = Arc::from(to);
            let parent = state.find_named(parent.into_iter().map(Ok))?;
            state.change_names(parent, NameChange::Rename(name.to_owned(), to_name.to_owned(), id))
        })
    }

    fn unlink(&self, at: &Path) -> Result<()> {
        self.call(CallKind::Unlink, at, |state, _| {
            let (parent, name) = parent_and_name(at)?;
            let id = state.find(at)?;
            state.file(id)?;
            let parent = state.find_named(parent.into_iter().map(Ok))?;
            state.change_names(parent, NameChange::Unlink(name.to_owned()))
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.call(CallKind::SyncDir, dir, |state, effect| {
            let id = state.find(dir)?;
            let directory = state.directory(id)?;
            if effect != Some(Effect::Lie) {
                directory.sync();
            }
            Ok(())
        })
    }

    fn free(&self) -> Result<u64> {
        self.call(CallKind::Free, Path::new(""), |state, _| Ok(state.free()))
    }

    fn lock(&self, at: &Path) -> Result<SimFile> {
        let id = self.call(CallKind::Lock, at, |state, _| {
            let id = match state.find(at) {
                Err(missing) if missing.kind() == ErrorKind::NotFound => state.new_file(at)?,
                found => found?,
            };
            let file = state.file(id)?;
            if file.locked {
                return Err(Errno::WOULDBLOCK.into());
            }
            file.locked = true;
            file.handles = file.handles.saturating_add(1);
            Ok(id)
        })?;
        Ok(self.opened(id, true, true))
    }
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: NodeId,
    writable: bool,
    locks: bool,
}

impl SimFile {
    fn call<T>(
        &self,
        kind: CallKind,
        numbers: [u64; 2],
        act: impl FnOnce(&mut State, Option<Effect>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.disk.0.lock();
        let path = Arc::clone(&state.file(self.id)?.path);
        state.call(kind, &path, numbers, act)
    }

    fn may_write(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(file) = self.disk.0.lock().file(self.id) {
            file.handles = file.handles.saturating_sub(1);
            file.locked &= !self.locks;
        }
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let bytes = parts.iter().map(|part| &**part).collect::<Vec<&[u8]>>().concat();
        let length = bytes.len() as u64;
        self.call(CallKind::Write, [offset, length], |state, effect| {
            self.may_write()?;
            let free = state.free();
            let (file, stamp) = state.file_and_stamp(self.id)?;
            let room = file.length.saturating_add(free).saturating_sub(offset);
            let (fits, error) = match effect {
                Some(Effect::ShortWrite(count, errno)) if count < length => (count, Some(errno)),
                _ if room < length => (room, Some(Errno::NOSPC)),
                _ => (length, None),
            };
            let fits = usize::try_from(fits).unwrap_or(usize::MAX);
            file.write(bytes.get(..fits).unwrap_or(&bytes), offset, stamp)?;
            error.map_or(Ok(()), |errno| Err(errno.into()))
        })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        self.call(CallKind::Read, [offset, into.len() as u64], |state, effect| {
            let file = state.file(self.id)?;
            let count = file.read(into, offset);
            let found = into.get_mut(..count).unwrap_or_default();
            file.read_wrongly(found, offset, effect);
            Ok(count)
        })
    }

    fn allocate(&self, length: u64) -> Result<()> {
        self.call(CallKind::Allocate, [0, length], |state, _| {
            self.may_write()?;
            let free = state.free();
            let (file, stamp) = state.file_and_stamp(self.id)?;
            if length.saturating_sub(file.length) > free {
                return Err(Errno::NOSPC.into());
            }
            if length > file.length { file.truncate(length, stamp) } else { Ok(()) }
        })
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.call(CallKind::Truncate, [0, length], |state, _| {
            self.may_write()?;
            let (file, stamp) = state.file_and_stamp(self.id)?;
            file.truncate(length, stamp)
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.call(CallKind::SyncData, [0, 0], |state, effect| {
            let file = state.file(self.id)?;
            match effect {
                Some(Effect::Fail(errno)) => {
                    file.refuse();
                    return Err(errno.into());
                }
                Some(Effect::Lie) => {}
                _ => file.sync(),
            }
            Ok(())
        })
    }

    fn length(&self) -> Result<u64> {
        self.call(CallKind::Length, [0, 0], |state, _| Ok(state.file(self.id)?.length))
    }

    fn protect(&self) -> Result<()> {
        self.call(CallKind::Protect, [0, 0], |state, _| {
            let (file, stamp) = state.file_and_stamp(self.id)?;
            file.protect(stamp);
            Ok(())
        })
    }

    fn map(&self, length: u64) -> Result<Mapping> {
        self.call(CallKind::Map, [0, length], |state, effect| {
            let file = state.file(self.id)?;
            if effect.is_some() { file.map_wrongly(length, effect) } else { file.map(length) }
        })
    }
}
