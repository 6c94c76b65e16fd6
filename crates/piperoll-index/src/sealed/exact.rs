//! Looks an exact key up where it lies.

use super::blocks::Blocks;
use crate::{
    error::IndexError,
    layout::{BLOCK_BYTES, SECTION_HEAD_BYTES},
    wire::{take_leb128, u64_at, within},
};
use roaring::RoaringBitmap;
use std::ops::Range;

/// Keys that lie together on a page.
const PAGE_KEYS: usize = BLOCK_BYTES / 8;
/// Hashes lie evenly: the place of one is off by more than so many times the root of their number only in freak cases.
const ROOTS_OFF_MAX: usize = 2;

/// The exact section.
#[derive(Clone, Debug)]
pub(super) struct ExactSection {
    range: Range<usize>,
    keys: usize,
}

impl ExactSection {
    pub(super) fn open(blocks: &Blocks<'_>, range: Range<usize>) -> Result<Self, IndexError> {
        let keys = blocks.u32(range.start, 0, range.end)? as usize;
        let fixed = SECTION_HEAD_BYTES + 12 * keys;
        within(range.start, fixed, range.end)
            .ok_or_else(|| IndexError::damaged(range.start, "keys that fit their section"))?;
        Ok(Self { range, keys })
    }

    /// Where it lies.
    pub(super) fn range(&self) -> &Range<usize> {
        &self.range
    }

    pub(super) fn find(&self, blocks: &Blocks<'_>, key: u64, end: u32) -> Result<RoaringBitmap, IndexError> {
        let Some(index) = self.index_of(blocks, key)? else { return Ok(RoaringBitmap::new()) };
        let ends = self.range.start + SECTION_HEAD_BYTES + 8 * self.keys;
        let ordinals = ends + 4 * self.keys;
        let from = if index == 0 { 0 } else { blocks.u32(ends, index - 1, self.range.end)? as usize };
        let to = blocks.u32(ends, index, self.range.end)? as usize;
        let damaged = || IndexError::damaged(ordinals + from, "ascending ordinals of events");
        let mut rest =
            blocks.part(ordinals + from, to.checked_sub(from).ok_or_else(damaged)?, self.range.end)?;
        let mut found = RoaringBitmap::new();
        let mut ordinal = 0_u32;
        while !rest.is_empty() {
            let step = take_leb128(&mut rest).ok_or_else(damaged)?;
            ordinal = ordinal.checked_add(step).filter(|&ordinal| ordinal < end).ok_or_else(damaged)?;
            found.try_push(ordinal).map_err(|_| damaged())?;
        }
        Ok(found)
    }

    fn index_of(&self, blocks: &Blocks<'_>, key: u64) -> Result<Option<usize>, IndexError> {
        let place = match self.page_of(blocks, key)? {
            Some(page) => self.search(blocks, key, page)?,
            None => self.search(blocks, key, 0..self.keys)?,
        };
        let is_it = place < self.keys && self.key(blocks, place)? == key;
        Ok(is_it.then_some(place))
    }

    /// The keys of the page on which a key is, if it is there: looked for from where it is expected, so that hardly any
    /// other page is touched. `None` where it is far from there.
    fn page_of(&self, blocks: &Blocks<'_>, key: u64) -> Result<Option<Range<usize>>, IndexError> {
        // Pages of the file, which the section does not begin at the start of.
        let skew = (self.range.start + SECTION_HEAD_BYTES) % BLOCK_BYTES / 8;
        let expected = (u128::from(key) * self.keys as u128) >> u64::BITS;
        let mut page = (usize::try_from(expected).unwrap_or(0) + skew) / PAGE_KEYS;
        let mut upwards = None;
        for _ in 0..=ROOTS_OFF_MAX * self.keys.isqrt() / PAGE_KEYS + 1 {
            let keys = (page * PAGE_KEYS).saturating_sub(skew)
                ..((page + 1) * PAGE_KEYS).saturating_sub(skew).min(self.keys);
            if keys.is_empty() {
                return Ok(None);
            }
            // One that would lie between two pages is not there, and either page tells.
            if upwards != Some(true) && keys.start > 0 && key < self.key(blocks, keys.start)? {
                (page, upwards) = (page - 1, Some(false));
            } else if upwards != Some(false)
                && keys.end < self.keys
                && key > self.key(blocks, keys.end - 1)?
            {
                (page, upwards) = (page + 1, Some(true));
            } else {
                return Ok(Some(keys));
            }
        }
        Ok(None)
    }

    /// The first index in `among` with a key not below `key`.
    fn search(&self, blocks: &Blocks<'_>, key: u64, among: Range<usize>) -> Result<usize, IndexError> {
        let Range { start: mut low, end: mut high } = among;
        while low < high {
            let middle = low.midpoint(high);
            if self.key(blocks, middle)? < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn key(&self, blocks: &Blocks<'_>, index: usize) -> Result<u64, IndexError> {
        let start = self.range.start + SECTION_HEAD_BYTES + 8 * index;
        u64_at(blocks.part(start, 8, self.range.end)?, 0).ok_or_else(|| IndexError::damaged(start, "a key"))
    }
}
