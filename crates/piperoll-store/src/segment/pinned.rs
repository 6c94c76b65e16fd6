//! What a reader holds of a segment: its bytes, and where its terms are.

use super::PinError;
use crate::disk::{Disk, DiskFile, Open};
use crate::follow::ActiveColumns;
use crate::mapping::Mapping;
use parking_lot::RwLock;
use piperoll_format::frame::{FrameView, check_frame};
use piperoll_format::names::Name;
use piperoll_format::units::{FrameSalt, Offset, Sequence};
use piperoll_index::{GoodBlocks, IndexError, IndexLayout, SealedIndex, TermSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A reader's hold on a segment.
pub(crate) struct Pinned {
    /// Retention class of the log.
    pub(crate) class: Name,
    /// First sequence.
    pub(crate) first: Sequence,
    /// End of what may be served; the terms may know more already.
    pub(crate) end: Sequence,
    /// A person accepted that some of it is lost.
    pub(crate) has_loss: bool,
    /// The bytes.
    pub(crate) log: LogBytes,
    /// The terms.
    pub(crate) terms: TermSource,
    /// What was known of the terms, if it is sealed.
    pub(crate) known: Option<Arc<TermSet>>,
}

/// The published bytes of a `.log`.
#[derive(Clone)]
pub(crate) struct LogBytes {
    map: Arc<Mapping>,
    length: Offset,
    salt: FrameSalt,
    path: Arc<Path>,
}

impl LogBytes {
    /// The first `length` bytes of a map.
    pub(crate) fn new(map: Arc<Mapping>, length: Offset, salt: FrameSalt, path: Arc<Path>) -> Self {
        Self { map, length, salt, path }
    }

    /// What the checksums of its frames are mixed with.
    pub(crate) fn salt(&self) -> &FrameSalt {
        &self.salt
    }

    /// The published length.
    pub(crate) fn length(&self) -> Offset {
        self.length
    }

    /// The same bytes, ending at `length` where that is less.
    pub(crate) fn up_to(&self, length: Offset) -> Self {
        Self { length: length.min(self.length), ..self.clone() }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes from `offset` to the published length.
    pub(crate) fn from(&self, offset: Offset) -> Option<&[u8]> {
        self.map.bytes(offset.0..self.length.0)
    }

    /// Tells whether a few of its events will be read, or most of them.
    pub(crate) fn expect_sparse_reads(&self, is_sparse: bool) {
        self.map.expect_sparse_reads(is_sparse);
    }

    /// The frame at `offset`, its checksum checked.
    pub(crate) fn frame(&self, offset: Offset) -> Result<FrameView<'_>, PinError> {
        let bytes = self.from(offset).ok_or_else(|| {
            let reason = format!("expected a frame below {}, the end of what was published", self.length);
            PinError::damaged(&self.path, offset, reason)
        })?;
        check_frame(bytes, offset, &self.salt).map_err(|e| PinError::damaged(&self.path, offset, e))
    }
}

/// Where the terms of a pinned segment are.
pub(crate) enum TermSource {
    /// In its index.
    Sealed(IndexBytes),
    /// In the columns in memory, caught up to the pin's end at least.
    Active(Arc<RwLock<ActiveColumns>>),
}

/// What an index always shows first: its trailer and, before it, the checksums of some twelve megabytes.
const TAIL_BYTES: u64 = 16 * 1024;

/// The bytes of an `.idx`.
#[derive(Clone)]
pub(crate) struct IndexBytes {
    memory: IndexMemory,
    /// Once it was opened, where its parts lie and which of its blocks were found good.
    opened: Arc<OnceLock<(Arc<IndexLayout>, GoodBlocks)>>,
}

#[derive(Clone)]
enum IndexMemory {
    /// The file, mapped: the map and its length.
    Mapped(Arc<Mapping>, u64),
    /// Made again from the `.log`, because the file was lost or damaged and could not be written again.
    Made(Arc<Vec<u8>>),
}

impl IndexBytes {
    fn new(memory: IndexMemory) -> Self {
        Self { memory, opened: Arc::default() }
    }

    /// An index that has no file.
    pub(crate) fn made(bytes: Vec<u8>) -> Self {
        Self::new(IndexMemory::Made(Arc::new(bytes)))
    }

    /// Maps the file `at`.
    pub(crate) fn map<D: Disk>(disk: &D, at: &Path) -> io::Result<Self> {
        let file = disk.open(at, Open::Read)?;
        let length = file.length()?;
        let map = Arc::new(file.map(length)?);
        map.expect_sparse_reads(true);
        map.expect_reads_of(length.saturating_sub(TAIL_BYTES)..length);
        Ok(Self::new(IndexMemory::Mapped(map, length)))
    }

    /// Tells that most of the bytes will be read that are where the layout says, if it is known.
    pub(crate) fn expect_reads_of(&self, range: impl Fn(&IndexLayout) -> Range<usize>) {
        if let (IndexMemory::Mapped(map, _), Some((layout, _))) = (&self.memory, self.opened.get()) {
            let bytes = range(layout);
            map.expect_reads_of(bytes.start as u64..bytes.end as u64);
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.memory {
            IndexMemory::Mapped(map, length) => map.bytes(0..*length).unwrap_or_default(),
            IndexMemory::Made(bytes) => bytes,
        }
    }

    /// The index in these bytes.
    pub(crate) fn open(&self) -> Result<SealedIndex<'_>, IndexError> {
        let bytes = self.bytes();
        if let Some((layout, good)) = self.opened.get() {
            return SealedIndex::open_again(bytes, layout, good.clone());
        }
        let index = SealedIndex::open(bytes)?;
        self.opened.get_or_init(|| (index.layout(), index.good_blocks()));
        Ok(index)
    }

    /// Checks each of its blocks once more before it is looked at again (decision 14).
    pub(crate) fn check_again(&self) {
        if let Some((_, good)) = self.opened.get() {
            good.forget();
        }
    }
}
