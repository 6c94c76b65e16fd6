//! The bytes of an `.idx`, each block checked before it is looked at for the first time.

use crate::{
    error::IndexError,
    layout::BLOCK_BYTES,
    wire::{u32_at, within},
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Which blocks of an `.idx` were found good: a bit for each. A clone is the same one.
#[derive(Clone)]
pub struct GoodBlocks(Arc<[AtomicU64]>);

impl GoodBlocks {
    /// None yet, of so many bytes.
    pub(super) fn none_of(bytes: usize) -> Self {
        let words = bytes.div_ceil(BLOCK_BYTES).div_ceil(64);
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// Each block is checked once more before it is looked at again.
    pub fn forget(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// Bytes with a checksum for each block.
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    checks: &'a [u8],
    good: GoodBlocks,
}

impl<'a> Blocks<'a> {
    /// `checks` has a crc32 for every block of `bytes`, of which those in `good` are not looked at again.
    pub(super) fn new(bytes: &'a [u8], checks: &'a [u8], good: GoodBlocks) -> Self {
        Self { bytes, checks, good }
    }

    /// Which were found good so far, and will be.
    pub(super) fn good(&self) -> GoodBlocks {
        self.good.clone()
    }

    /// The checked bytes of a range.
    pub(super) fn get(&self, range: Range<usize>) -> Result<&'a [u8], IndexError> {
        let beyond = IndexError::damaged(range.start, "a place within the file");
        let found = self.bytes.get(range.clone()).ok_or(beyond)?;
        if !found.is_empty() {
            (range.start / BLOCK_BYTES..=(range.end - 1) / BLOCK_BYTES)
                .try_for_each(|block| self.check(block))?;
        }
        Ok(found)
    }

    /// The checked bytes from `start`, `length` of them, which must end at `limit` or before.
    pub(super) fn part(&self, start: usize, length: usize, limit: usize) -> Result<&'a [u8], IndexError> {
        let beyond = || IndexError::damaged(start, "a part that ends within its section");
        self.get(within(start, length, limit).ok_or_else(beyond)?)
    }

    /// The u32 at a place of a list that begins at `list`.
    pub(super) fn u32(&self, list: usize, index: usize, limit: usize) -> Result<u32, IndexError> {
        let start = list + 4 * index;
        u32_at(self.part(start, 4, limit)?, 0).ok_or_else(|| IndexError::damaged(start, "an integer"))
    }

    /// Checks every block.
    pub(super) fn check_all(&self) -> Result<(), IndexError> {
        self.get(0..self.bytes.len()).map(|_| ())
    }

    fn check(&self, block: usize) -> Result<(), IndexError> {
        let bit = 1_u64 << (block % 64);
        let word = self.good.0.get(block / 64);
        if word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0) {
            return Ok(());
        }
        let start = block * BLOCK_BYTES;
        let bytes = self.bytes.get(start..self.bytes.len().min(start + BLOCK_BYTES)).unwrap_or_default();
        if u32_at(self.checks, 4 * block) != Some(crc32fast::hash(bytes)) {
            return Err(IndexError::damaged(
                start,
                "4,096 bytes with the crc32 that stands in the private part",
            ));
        }
        if let Some(word) = word {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }
}
