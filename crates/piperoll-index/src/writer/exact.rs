//! Writes the exact section.

use super::put_ends;
use crate::{
    columns::{ExactKeys, KeyOrdinal},
    error::IndexError,
    layout::{ExactShape, rice_bits},
    packed::BitWriter,
    wire::{fit_u32, put_leb128},
};

/// What a record says.
struct Record {
    key: u32,
    first_ordinal: u32,
    /// Bytes of the list of the others; 0 where there are none.
    list_bytes: usize,
}

/// Every key, and the lists of those that have more than one ordinal.
#[derive(Default)]
struct Keys {
    records: Vec<Record>,
    lists: Vec<u8>,
    highest_ordinal: u32,
}

pub(crate) fn put_exact(exact: &ExactKeys, out: &mut Vec<u8>) -> Result<(), IndexError> {
    let keys = Keys::of(exact)?;
    let shape =
        ExactShape::new(fit_u32(keys.records.len(), "the number of exact keys")?, keys.highest_ordinal);
    shape.write(out);
    let (mut records, mut lists) = (keys.records.as_slice(), keys.lists.as_slice());
    let (mut ends, mut buckets) = (Vec::with_capacity(shape.buckets() as usize), Vec::new());
    for bucket in 0..shape.buckets() {
        let here = records.iter().take_while(|record| shape.bucket_of(record.key) == bucket).count();
        if let Some(here) = records.split_off(..here).filter(|here| !here.is_empty()) {
            put_bucket(shape, here, &mut lists, &mut buckets)?;
        }
        ends.push(buckets.len());
    }
    put_ends(&ends, "the buckets of the exact keys", out)?;
    out.extend(buckets);
    Ok(())
}

impl Keys {
    fn of(exact: &ExactKeys) -> Result<Self, IndexError> {
        let mut keys = Self::default();
        let (mut codes, mut fits) = (Vec::new(), Ok(()));
        exact.for_each_key(|pairs| {
            let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return };
            let before = keys.lists.len();
            if pairs.len() > 1 {
                codes.clear();
                put_codes(pairs, &mut codes);
                match fit_u32(codes.len(), "the ordinals of an exact key") {
                    Ok(length) => put_leb128(length, &mut keys.lists),
                    Err(error) => fits = Err(error),
                }
                keys.lists.extend_from_slice(&codes);
            }
            let list_bytes = keys.lists.len() - before;
            keys.records.push(Record { key: first.key(), first_ordinal: first.ordinal(), list_bytes });
            keys.highest_ordinal = keys.highest_ordinal.max(last.ordinal());
        });
        fits.map(|()| keys)
    }
}

/// The ordinals behind the first one, by their differences.
fn put_codes(pairs: &[KeyOrdinal], out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return };
    let low_bits = rice_bits(first.ordinal(), last.ordinal(), u32::try_from(pairs.len()).unwrap_or(u32::MAX));
    let [low_byte, ..] = low_bits.to_le_bytes();
    out.push(low_byte);
    let mut codes = BitWriter::new(out);
    for [before, next] in pairs.array_windows() {
        codes.put_rice(next.ordinal() - before.ordinal() - 1, low_bits);
    }
    codes.finish();
}

/// The records of a bucket, and behind them the next lists.
fn put_bucket(
    shape: ExactShape,
    records: &[Record],
    lists: &mut &[u8],
    out: &mut Vec<u8>,
) -> Result<(), IndexError> {
    put_leb128(fit_u32(records.len(), "the keys of a bucket")?, out);
    let mut bits = BitWriter::new(out);
    for record in records {
        bits.put(shape.rest_of(record.key), shape.rest_bits());
        bits.put(record.first_ordinal, shape.ordinal_bits);
        bits.put((record.list_bytes > 0).into(), 1);
    }
    bits.finish();
    let here = records.iter().map(|record| record.list_bytes).sum();
    out.extend_from_slice(lists.split_off(..here).unwrap_or_default());
    Ok(())
}
