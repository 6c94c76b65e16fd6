//! Looks an exact key up where it lies.

use super::blocks::Blocks;
use crate::{
    error::IndexError,
    layout::{ExactShape, RICE_BITS_MAX, SECTION_HEAD_BYTES, rice_bits},
    packed::{BitReader, lowest_u32},
    wire::{LEB128_BYTES_MAX, take_leb128, u32_at, within},
};
use roaring::RoaringBitmap;
use std::ops::Range;

/// The exact section.
#[derive(Clone, Debug)]
pub(super) struct ExactSection {
    range: Range<usize>,
    shape: ExactShape,
    /// Where the ends of the buckets lie, and then the buckets.
    ends: usize,
    buckets: usize,
}

/// A bucket with keys in it.
struct Bucket<'a> {
    shape: ExactShape,
    at: usize,
    keys: u32,
    records: BitReader<'a>,
    /// Where its lists lie.
    lists: Range<usize>,
}

/// What a bucket says of a key.
#[derive(Clone, Copy)]
struct Record {
    /// The lower bits of the key.
    rest: u32,
    first_ordinal: u32,
    has_more: bool,
}

/// How much the exact section has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactTotals {
    /// Keys: values, but for those that share one.
    pub keys: u64,
    /// Ordinals, counted under each key that has them.
    pub ordinals: u64,
}

fn damaged(at: usize) -> IndexError {
    IndexError::damaged(at, "exact keys in order, each with ascending ordinals of events")
}

impl ExactSection {
    pub(super) fn open(blocks: &Blocks<'_>, range: Range<usize>) -> Result<Self, IndexError> {
        let head = blocks.part(range.start, SECTION_HEAD_BYTES, range.end)?;
        let shape = ExactShape::read(head).ok_or_else(|| {
            IndexError::damaged(range.start, "how many exact keys there are, and their shape")
        })?;
        let ends = range.start + SECTION_HEAD_BYTES;
        let buckets = within(ends, 4 * shape.buckets() as usize, range.end)
            .ok_or_else(|| IndexError::damaged(range.start, "keys that fit their section"))?
            .end;
        Ok(Self { range, shape, ends, buckets })
    }

    /// Where it lies.
    pub(super) fn range(&self) -> &Range<usize> {
        &self.range
    }

    /// The ordinals of a key; those of an index that ends at `end`.
    pub(super) fn find(&self, blocks: &Blocks<'_>, key: u32, end: u32) -> Result<RoaringBitmap, IndexError> {
        let mut found = RoaringBitmap::new();
        let Some(bucket) = self.bucket(blocks, self.shape.bucket_of(key))? else { return Ok(found) };
        let Some((record, lists_before)) = bucket.find(self.shape.rest_of(key))? else { return Ok(found) };
        let list = if record.has_more { Some(bucket.list(blocks, lists_before)?) } else { None };
        let push = |ordinal| found.try_push(ordinal).map_err(|_| damaged(bucket.at));
        bucket.each_ordinal(record, list, end, push)?;
        Ok(found)
    }

    /// Reads all of it, visits each key with each of its ordinals, and counts: that it is what a writer makes of these and of
    /// nothing else.
    pub(super) fn check(
        &self,
        blocks: &Blocks<'_>,
        end: u32,
        mut visit: impl FnMut(u32, u32),
    ) -> Result<ExactTotals, IndexError> {
        let (mut totals, mut highest) = (ExactTotals::default(), 0);
        for number in 0..self.shape.buckets() {
            let Some(bucket) = self.bucket(blocks, number)? else { continue };
            let mut lists = bucket.lists.clone();
            bucket.each_record(|record| {
                let list = if record.has_more { Some(take_list(blocks, &mut lists)?) } else { None };
                totals.keys += 1;
                let key = self.shape.key(number, record.rest);
                bucket.each_ordinal(record, list, end, |ordinal| {
                    totals.ordinals += 1;
                    highest = highest.max(ordinal);
                    visit(key, ordinal);
                    Ok(())
                })
            })?;
            if !lists.is_empty() {
                return Err(damaged(lists.start));
            }
        }
        let is_shape = u64::from(self.shape.keys) == totals.keys
            && ExactShape::new(self.shape.keys, highest) == self.shape;
        if is_shape { Ok(totals) } else { Err(damaged(self.range.start)) }
    }

    /// The bucket with this number; `None` for one without keys.
    fn bucket<'a>(&self, blocks: &Blocks<'a>, number: u32) -> Result<Option<Bucket<'a>>, IndexError> {
        let mut rest = self.range_of(blocks, number)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let at = rest.start;
        let keys = take_number(blocks, &mut rest)?;
        if keys == 0 || keys > self.shape.keys {
            return Err(damaged(at));
        }
        let bytes = self.shape.record_bytes(keys).ok_or_else(|| damaged(at))?;
        let records = blocks.part(rest.start, bytes, rest.end)?;
        rest.start += bytes;
        Ok(Some(Bucket { shape: self.shape, at, keys, records: BitReader::new(records), lists: rest }))
    }

    fn range_of(&self, blocks: &Blocks<'_>, number: u32) -> Result<Range<usize>, IndexError> {
        let place = self.ends + 4 * number as usize;
        let (from, to) = if number == 0 {
            (Some(0), u32_at(blocks.part(place, 4, self.buckets)?, 0))
        } else {
            let ends = blocks.part(place - 4, 8, self.buckets)?;
            (u32_at(ends, 0), u32_at(ends, 4))
        };
        let length = self.range.end - self.buckets;
        let range = from.zip(to).map(|(from, to)| from as usize..to as usize);
        // The last one ends with the section.
        let range = range.filter(|range| {
            range.start <= range.end
                && if number + 1 == self.shape.buckets() { range.end == length } else { range.end <= length }
        });
        let range = range.ok_or_else(|| IndexError::damaged(place, "ends of buckets that ascend"))?;
        Ok(self.buckets + range.start..self.buckets + range.end)
    }
}

impl Bucket<'_> {
    /// Visits its records; an error where their keys do not ascend, or where what fills their last byte is not zero.
    fn each_record(&self, mut visit: impl FnMut(Record) -> Result<(), IndexError>) -> Result<(), IndexError> {
        let (mut bits, mut before) = (self.records.clone(), None);
        let (width, rest_bits, ordinal_bits) =
            (self.shape.record_bits(), self.shape.rest_bits(), self.shape.ordinal_bits);
        for _ in 0..self.keys {
            let record = bits.take(width).ok_or_else(|| damaged(self.at))?;
            let (rest, ordinal) = (lowest_u32(record, rest_bits), record >> rest_bits);
            if before.is_some_and(|before| before >= rest) {
                return Err(damaged(self.at));
            }
            before = Some(rest);
            let first_ordinal = lowest_u32(ordinal, ordinal_bits);
            visit(Record { rest, first_ordinal, has_more: ordinal >> ordinal_bits == 1 })?;
        }
        if bits.is_at_end() { Ok(()) } else { Err(damaged(self.at)) }
    }

    /// The record of a key, with the number of the lists before its own. All records are looked at: a key that is not in
    /// its place would not be found.
    fn find(&self, rest: u32) -> Result<Option<(Record, u32)>, IndexError> {
        let (mut found, mut lists) = (None, 0);
        self.each_record(|record| {
            if record.rest == rest {
                found = Some((record, lists));
            }
            lists += u32::from(record.has_more);
            Ok(())
        })?;
        if (lists == 0) == self.lists.is_empty() { Ok(found) } else { Err(damaged(self.at)) }
    }

    /// The bytes of a list, with so many before it.
    fn list<'a>(&self, blocks: &Blocks<'a>, before: u32) -> Result<&'a [u8], IndexError> {
        let mut lists = self.lists.clone();
        for _ in 0..before {
            lists.start = list_range(blocks, &lists)?.end;
        }
        take_list(blocks, &mut lists)
    }

    /// Visits the ordinals of a key in order: the first one, and those of its list.
    fn each_ordinal(
        &self,
        record: Record,
        list: Option<&[u8]>,
        end: u32,
        mut visit: impl FnMut(u32) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let damaged = || damaged(self.at);
        let fits = |ordinal: &u32| *ordinal < end;
        let first = Some(record.first_ordinal).filter(fits).ok_or_else(damaged)?;
        visit(first)?;
        let Some(list) = list else { return Ok(()) };
        let head = list.split_first().filter(|(low_bits, _)| **low_bits <= RICE_BITS_MAX);
        let (low_bits, codes) = head.ok_or_else(damaged)?;
        let (low_bits, mut codes) = (u32::from(*low_bits), BitReader::new(codes));
        let (mut ordinal, mut ordinals) = (first, 1);
        while !codes.is_at_end() {
            let next =
                codes.take_rice(low_bits).and_then(|less_one| less_one.checked_add(u64::from(ordinal) + 1));
            let next = next.and_then(|next| u32::try_from(next).ok());
            ordinal = next.filter(fits).ok_or_else(damaged)?;
            ordinals += 1;
            visit(ordinal)?;
        }
        let is_shortest = ordinals > 1 && rice_bits(first, ordinal, ordinals) == low_bits;
        if is_shortest { Ok(()) } else { Err(damaged()) }
    }
}

/// Takes the bytes of the first of some lists.
fn take_list<'a>(blocks: &Blocks<'a>, lists: &mut Range<usize>) -> Result<&'a [u8], IndexError> {
    let range = list_range(blocks, lists)?;
    lists.start = range.end;
    blocks.get(range)
}

/// Where the first of some lists lies, behind its length.
fn list_range(blocks: &Blocks<'_>, lists: &Range<usize>) -> Result<Range<usize>, IndexError> {
    let mut rest = lists.clone();
    let length = take_number(blocks, &mut rest)?;
    within(rest.start, length as usize, rest.end).ok_or_else(|| damaged(lists.start))
}

/// Takes a LEB128 number from the front.
fn take_number(blocks: &Blocks<'_>, from: &mut Range<usize>) -> Result<u32, IndexError> {
    let bytes = blocks.part(from.start, LEB128_BYTES_MAX.min(from.len()), from.end)?;
    let mut rest = bytes;
    let number = take_leb128(&mut rest).ok_or_else(|| damaged(from.start))?;
    from.start += bytes.len() - rest.len();
    Ok(number)
}

#[cfg(test)]
mod tests;
