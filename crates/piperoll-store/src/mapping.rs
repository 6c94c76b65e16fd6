//! Bytes of a file seen through memory: the only `unsafe` module of the workspace.
//!
//! # The mapping contract
//!
//! A slice handed out by [`Mapping::bytes`] promises the compiler that its bytes do not change. The kernel
//! does not know that promise; these rules keep it (I18):
//!
//! 1. **One process.** The lock file lets one daemon write the directory, for the life of the store.
//! 2. **Bytes that were sliced are finished.** A handle and the maps it made share a frontier: the end of the
//!    highest slice so far, the place where a write is going on, and the end of the file. A write or a
//!    truncation that would touch a byte below the frontier is refused, and so is a slice of bytes that are
//!    being written. Whoever asks only for bytes below the published end never meets either refusal.
//! 3. **A map's length is fixed** and covers bytes that the file has. Growth makes a new map; older maps stay
//!    as they are, and bytes written below their length show through them.
//! 4. **Files are unlinked, never shortened under a slice.** Cutting off the unused room of a segment takes
//!    only bytes that nobody has seen, and maps made before refuse to slice them from then on.
//! 5. **Sealed bytes never change** (mode 0444), and are opened without the right to write.
//! 6. **Two handles on one file do not know each other's frontier**: one of them writes, and nobody maps the
//!    other before the writer is done.
//!
//! What no rule can prevent: somebody with the right to write cuts a file under us, or the device fails to
//! read a page. Touching such a page ends the process with SIGBUS, after a line that names file and offset
//! ([`explain_unreadable_pages`]). So whatever looks for damage (recovery, checks, the hash for the seal) reads
//! with [`crate::disk::DiskFile::read_at`], where an error is an error.
#![expect(unsafe_code, reason = "the one home of memory maps; the contract above says why it is sound")]

mod fault;

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

pub use fault::explain_unreadable_pages;

use fault::Named;
use memmap2::{Advice, MmapOptions, MmapRaw};
use parking_lot::{Mutex, MutexGuard};

/// No change is going on.
const QUIET: u64 = u64::MAX;

/// What the maps of a file and its writer know of each other; keeps rule 2 of the contract.
///
/// The writer first says where it writes and then looks for slices; a reader first says what it slices and
/// then looks for the writer. In the one order of all these steps one of the two sees the other.
#[derive(Debug)]
pub(crate) struct Frontier {
    /// No slice that is alive ends above this.
    sliced: AtomicU64,
    /// Bytes from here on are being changed.
    changing: AtomicU64,
    /// The file has bytes below this.
    end: AtomicU64,
    /// Maps that are alive: without one there is no slice.
    maps: AtomicUsize,
    /// Held by whoever changes the bytes, or must see them at rest.
    writer: Mutex<()>,
}

impl Frontier {
    /// The frontier of a file that nobody has mapped.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            sliced: AtomicU64::new(0),
            changing: AtomicU64::new(QUIET),
            end: AtomicU64::new(0),
            maps: AtomicUsize::new(0),
            writer: Mutex::new(()),
        })
    }

    /// Leave to change bytes at and above `from` until the answer is dropped; `InvalidInput` when one of
    /// them may be part of a slice.
    pub(crate) fn change(&self, from: u64) -> Result<Change<'_>> {
        let change = Change { frontier: self, _writer: self.writer.lock() };
        if self.maps.load(SeqCst) == 0 {
            self.sliced.store(0, SeqCst);
        }
        self.changing.store(from, SeqCst);
        let sliced = self.sliced.load(SeqCst);
        if sliced > from {
            let text = format!("a change at offset {from} would touch bytes that were read up to {sliced}");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(change)
    }

    /// Whether bytes up to `to` may be sliced; remembers that they were.
    fn slice(&self, to: u64) -> bool {
        if to > self.end.load(SeqCst) || to > self.changing.load(SeqCst) {
            return false;
        }
        // Most slices lie below an earlier one: then readers only read this word.
        if self.sliced.load(SeqCst) < to {
            self.sliced.fetch_max(to, SeqCst);
        }
        to <= self.end.load(SeqCst) && to <= self.changing.load(SeqCst)
    }
}

/// Leave to change the bytes of a file.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    frontier: &'a Frontier,
    _writer: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// The file now has bytes up to `end` or more.
    pub(crate) fn grown(&self, end: u64) {
        self.frontier.end.fetch_max(end, SeqCst);
    }

    /// The file now ends at `end`.
    pub(crate) fn cut(&self, end: u64) {
        self.frontier.end.store(end, SeqCst);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.frontier.changing.store(QUIET, SeqCst);
    }
}

/// The first bytes of a file, shared and read-only.
///
/// Share one inside an `Arc`: each costs address space and a system call.
pub struct Mapping {
    memory: Memory,
    length: u64,
    /// The kernel was told that bytes are read here and there.
    is_sparse: AtomicBool,
    frontier: Arc<Frontier>,
}

enum Memory {
    File {
        /// Its place in the table of maps; given back before the memory is, since fields are dropped in order.
        _named: Option<Named>,
        map: MmapRaw,
    },
    Shared(Arc<SharedBytes>),
}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which has `file_length` bytes and this `name`.
    pub(crate) fn of_file(
        file: &impl std::os::fd::AsFd,
        name: &Arc<str>,
        length: u64,
        file_length: u64,
        frontier: &Arc<Frontier>,
    ) -> Result<Self> {
        let _writer = frontier.writer.lock();
        covered(length, file_length)?;
        let map = MmapOptions::new().len(size(length)?).map_raw_read_only(&RawDescriptor::of(file))?;
        frontier.end.fetch_max(file_length, SeqCst);
        let named = Named::enter(map.as_ptr(), map.len(), name);
        Ok(Self::over(Memory::File { _named: named, map }, length, frontier))
    }

    /// Maps the first `length` of the shared `bytes` of a simulated file that has `file_length` bytes.
    pub(crate) fn of_shared(bytes: &Arc<SharedBytes>, length: u64, file_length: u64) -> Result<Self> {
        let frontier = &bytes.frontier;
        let _writer = frontier.writer.lock();
        covered(length, file_length.min(bytes.capacity()))?;
        frontier.end.fetch_max(file_length, SeqCst);
        Ok(Self::over(Memory::Shared(Arc::clone(bytes)), length, frontier))
    }

    fn over(memory: Memory, length: u64, frontier: &Arc<Frontier>) -> Self {
        frontier.maps.fetch_add(1, SeqCst);
        Self { memory, length, is_sparse: AtomicBool::new(false), frontier: Arc::clone(frontier) }
    }

    /// The length of the map in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Tells the kernel how the bytes will be read: here and there, or one after the other, as it expects of a new map.
    /// Around a byte that is not in memory it reads much more for the second kind, up to megabytes.
    pub(crate) fn expect_sparse_reads(&self, is_sparse: bool) {
        if let Memory::File { map, .. } = &self.memory
            && self.is_sparse.swap(is_sparse, Relaxed) != is_sparse
        {
            // A hint: where the kernel does not take it, reads are slower and nothing else.
            let _ = map.advise(if is_sparse { Advice::Random } else { Advice::Normal });
        }
    }

    /// Tells the kernel that these bytes will be read, so that it fetches them all at once.
    pub(crate) fn expect_reads_of(&self, range: Range<u64>) {
        let place = |at: u64| usize::try_from(at.min(self.length)).unwrap_or_default();
        let (start, end) = (place(range.start), place(range.end));
        if let Memory::File { map, .. } = &self.memory
            && start < end
        {
            // A hint too.
            let _ = map.advise_range(Advice::WillNeed, start, end - start);
        }
    }

    /// The bytes of `range`, without a copy. `None` when the range is not ascending, reaches past the map or
    /// the end of the file, or into bytes that are being written at this moment.
    ///
    /// Ask only for bytes that are published: from then on they can not be written again while a map lives.
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let count = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let start = usize::try_from(range.start).ok()?;
        if range.end > self.length {
            return None;
        }
        if count == 0 {
            return Some(&[]);
        }
        if !self.frontier.slice(range.end) {
            return None;
        }
        let base = match &self.memory {
            Memory::File { map, .. } => map.as_ptr(),
            Memory::Shared(shared) => shared.start.as_ptr().cast_const(),
        };
        // SAFETY: start < range.end <= length, and both kinds of memory have at least `length` bytes.
        let first = unsafe { base.add(start) };
        // SAFETY: `count` bytes from `first` lie in memory that lives as long as `self`, whose bytes are
        // initialised (by the kernel, or when they were made), and that the frontier keeps from being changed
        // while this map, and so this slice, is alive.
        Some(unsafe { std::slice::from_raw_parts(first, count) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.frontier.maps.fetch_sub(1, SeqCst);
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("length", &self.length).finish_non_exhaustive()
    }
}

/// What memmap2 asks for, of anything that has a descriptor.
struct RawDescriptor(std::os::fd::RawFd);

impl RawDescriptor {
    fn of(file: &impl std::os::fd::AsFd) -> Self {
        use std::os::fd::AsRawFd as _;
        Self(file.as_fd().as_raw_fd())
    }
}

impl std::os::fd::AsRawFd for RawDescriptor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0
    }
}

/// Memory of a fixed size that one side writes while others hold slices of what lies below: what the
/// page cache is to a real file, for simulated ones.
pub(crate) struct SharedBytes {
    start: NonNull<u8>,
    capacity: usize,
    frontier: Arc<Frontier>,
}

// SAFETY: the memory is owned, nothing in it depends on a thread.
unsafe impl Send for SharedBytes {}
// SAFETY: reads and writes through `&self` are made under the frontier's writer lock, and slices are handed
// out only of bytes that the frontier keeps from being written.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// Over `memory`, which has its capacity.
    pub(crate) fn new(memory: Box<[u8]>, frontier: &Arc<Frontier>) -> Arc<Self> {
        let capacity = memory.len();
        let owned: &'static mut [u8] = Box::leak(memory);
        Arc::new(Self { start: NonNull::from(owned).cast(), capacity, frontier: Arc::clone(frontier) })
    }

    /// Size of the memory in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Writes as much of `bytes` at `offset` as the capacity takes. The leave must come from the frontier of
    /// these bytes, and begin at or below `offset`; else nothing is written.
    pub(crate) fn write(&self, leave: &Change<'_>, bytes: &[u8], offset: u64) {
        let ours = std::ptr::eq(leave.frontier, Arc::as_ptr(&self.frontier));
        if !ours || offset < leave.frontier.changing.load(SeqCst) {
            return;
        }
        let Some((offset, count)) = self.overlap(bytes.len(), offset) else { return };
        // SAFETY: offset + count <= capacity.
        let target = unsafe { self.start.add(offset) };
        // SAFETY: `count` bytes fit behind `target`; `bytes` can not overlap them, since slices of this
        // memory end below the place where the leave begins; the leave holds the writer lock.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), count) };
    }

    /// Copies bytes from `offset` into `into`, and says how many there were up to the capacity.
    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> usize {
        let Some((offset, count)) = self.overlap(into.len(), offset) else { return 0 };
        let _writer = self.frontier.writer.lock();
        // SAFETY: offset + count <= capacity.
        let source = unsafe { self.start.add(offset) };
        // SAFETY: both sides have `count` bytes; `into` is borrowed mutably, so it is no slice of this
        // memory; the writer lock keeps the bytes at rest.
        unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), into.as_mut_ptr(), count) };
        count
    }

    fn overlap(&self, count: usize, offset: u64) -> Option<(usize, usize)> {
        let offset = usize::try_from(offset).ok()?;
        Some((offset, count.min(self.capacity.checked_sub(offset)?)))
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        let owned = NonNull::slice_from_raw_parts(self.start, self.capacity);
        // SAFETY: these are the start and length of the box that `new` leaked, and nobody else frees it.
        drop(unsafe { Box::from_raw(owned.as_ptr()) });
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

fn covered(length: u64, file_length: u64) -> Result<()> {
    if length <= file_length {
        return Ok(());
    }
    let text = format!("a map of {length} bytes would reach past the file's {file_length}");
    Err(Error::new(ErrorKind::InvalidInput, text))
}

fn size(length: u64) -> Result<usize> {
    usize::try_from(length).map_err(|_| Error::from(ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests;
