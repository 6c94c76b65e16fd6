//! Terms and postings of a bitmap field where they lie.

use super::blocks::Blocks;
use crate::{
    bits::Bits, error::IndexError, group::Labels, layout::SECTION_HEAD_BYTES, posting::Posting, wire::within,
};
use roaring::RoaringBitmap;
use std::{iter, ops::Range};

/// A bitmap section: where its parts begin.
#[derive(Clone, Debug)]
pub(super) struct BitmapSection {
    end: usize,
    count: usize,
    term_ends: usize,
    terms: usize,
    posting_ends: usize,
    postings: usize,
}

impl BitmapSection {
    pub(super) fn open(blocks: &Blocks<'_>, range: &Range<usize>) -> Result<Self, IndexError> {
        let Range { start, end } = *range;
        let count = blocks.u32(start, 0, end)? as usize;
        let damaged = || IndexError::damaged(start, "terms and postings that fit their section");
        let term_ends = start + SECTION_HEAD_BYTES;
        let terms = within(term_ends, 4 * count, end).ok_or_else(damaged)?.end;
        let term_bytes = if count == 0 { 0 } else { blocks.u32(term_ends, count - 1, end)? as usize };
        // Sections begin at multiples of 8, so that padding here and padding in the file are one.
        let posting_ends = within(terms, term_bytes, end).ok_or_else(damaged)?.end.next_multiple_of(8);
        let postings = within(posting_ends, 4 * count, end).ok_or_else(damaged)?.end;
        Ok(Self { end, count, term_ends, terms, posting_ends, postings })
    }

    /// Where a term stands, if it is there. `places` are where it should: elsewhere it is looked for only where it is not
    /// there.
    pub(super) fn index_of(
        &self,
        blocks: &Blocks<'_>,
        term: &[u8],
        places: Option<Range<usize>>,
    ) -> Result<Option<usize>, IndexError> {
        for places in places.into_iter().chain(iter::once(0..self.count)) {
            let place = self.search(blocks, places, |other| other < term)?;
            if place < self.count && self.term(blocks, place)? == term {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The sum of the sizes of these terms' sets.
    pub(super) fn cardinality(
        &self,
        blocks: &Blocks<'_>,
        indices: Vec<usize>,
        end: u32,
    ) -> Result<u64, IndexError> {
        indices.into_iter().try_fold(0_u64, |sum, index| {
            Ok(sum.saturating_add(self.posting(blocks, index, end)?.cardinality()))
        })
    }

    /// The bytes of these terms' postings.
    pub(super) fn bytes_of<'a>(
        &self,
        blocks: &Blocks<'a>,
        indices: &[usize],
    ) -> Result<Vec<&'a [u8]>, IndexError> {
        let of = |index: &usize| self.delimited(blocks, self.posting_ends, self.postings, *index);
        indices.iter().map(of).collect()
    }

    /// The postings in these bytes.
    pub(super) fn parse<'a>(&self, bytes: &[&'a [u8]], end: u32) -> Result<Vec<Posting<'a>>, IndexError> {
        let parse = |bytes: &&'a [u8]| Posting::parse(bytes, end).ok_or_else(|| self.damaged());
        bytes.iter().map(parse).collect()
    }

    /// The set of the events that have a term which begins so.
    pub(super) fn with_prefix(
        &self,
        blocks: &Blocks<'_>,
        prefix: &[u8],
        end: u32,
    ) -> Result<RoaringBitmap, IndexError> {
        let all = 0..self.count;
        let first = self.search(blocks, all.clone(), |term| term < prefix)?;
        let last = self.search(blocks, all, |term| term < prefix || term.starts_with(prefix))?;
        self.union(blocks, first..last, end)
    }

    pub(super) fn term_count(&self) -> usize {
        self.count
    }

    /// Each term.
    pub(super) fn each_term(
        &self,
        blocks: &Blocks<'_>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), IndexError> {
        (0..self.count).try_for_each(|index| {
            each(self.term(blocks, index)?);
            Ok(())
        })
    }

    /// For each term, how many events of `among` have it; all events where that is `None`.
    pub(super) fn count(
        &self,
        blocks: &Blocks<'_>,
        among: Option<&Bits>,
        end: u32,
        each: &mut dyn FnMut(&[u8], u64),
    ) -> Result<(), IndexError> {
        for index in 0..self.count {
            let posting = self.posting(blocks, index, end)?;
            let count = among.map_or_else(|| Some(posting.cardinality()), |bits| posting.count_in(bits));
            let count = count.ok_or_else(|| self.damaged())?;
            if count > 0 {
                each(self.term(blocks, index)?, count);
            }
        }
        Ok(())
    }

    /// Which term each event has.
    pub(super) fn labels(&self, blocks: &Blocks<'_>, end: u32) -> Result<Labels, IndexError> {
        let mut labels = Labels::none(end);
        for (index, place) in (0..self.count).zip(1..) {
            labels.terms.push(self.term(blocks, index)?.to_vec());
            let put = |ordinal: u32| {
                if let Some(label) = labels.of.get_mut(ordinal as usize) {
                    *label = place;
                }
            };
            self.posting(blocks, index, end)?.for_each(put).ok_or_else(|| self.damaged())?;
        }
        Ok(labels)
    }

    /// The set of the events that have one of these terms.
    pub(super) fn union(
        &self,
        blocks: &Blocks<'_>,
        indices: impl IntoIterator<Item = usize>,
        end: u32,
    ) -> Result<RoaringBitmap, IndexError> {
        let mut indices = indices.into_iter();
        let Some(first) = indices.next() else { return Ok(RoaringBitmap::new()) };
        let Some(second) = indices.next() else {
            return self.posting(blocks, first, end)?.to_bitmap().ok_or_else(|| self.damaged());
        };
        let mut bits = Bits::new(end);
        for index in [first, second].into_iter().chain(indices) {
            self.posting(blocks, index, end)?.add_to(&mut bits).ok_or_else(|| self.damaged())?;
        }
        Ok(bits.to_bitmap())
    }

    fn damaged(&self) -> IndexError {
        IndexError::damaged(self.postings, "portable Roaring bitmaps without runs, of the segment's events")
    }

    /// The first of these indices whose term is not `before`, or their end.
    fn search(
        &self,
        blocks: &Blocks<'_>,
        indices: Range<usize>,
        before: impl Fn(&[u8]) -> bool,
    ) -> Result<usize, IndexError> {
        let (mut low, mut high) = (indices.start, indices.end.min(self.count));
        while low < high {
            let middle = low.midpoint(high);
            if before(self.term(blocks, middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn term<'a>(&self, blocks: &Blocks<'a>, index: usize) -> Result<&'a [u8], IndexError> {
        self.delimited(blocks, self.term_ends, self.terms, index)
    }

    fn posting<'a>(&self, blocks: &Blocks<'a>, index: usize, end: u32) -> Result<Posting<'a>, IndexError> {
        let bytes = self.delimited(blocks, self.posting_ends, self.postings, index)?;
        Posting::parse(bytes, end).ok_or_else(|| self.damaged())
    }

    /// The part with this index among parts that end where the list of `ends` says.
    fn delimited<'a>(
        &self,
        blocks: &Blocks<'a>,
        ends: usize,
        parts: usize,
        index: usize,
    ) -> Result<&'a [u8], IndexError> {
        let from = if index == 0 { 0 } else { blocks.u32(ends, index - 1, self.end)? as usize };
        let to = blocks.u32(ends, index, self.end)? as usize;
        let length =
            to.checked_sub(from).ok_or_else(|| IndexError::damaged(ends + 4 * index, "ends that ascend"))?;
        blocks.part(parts + from, length, self.end)
    }
}
