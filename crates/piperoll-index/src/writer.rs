//! Writes an `.idx` from columns.

mod exact;

use crate::{
    bits::Bits,
    columns::{Columns, Interned},
    error::IndexError,
    layout::{
        BLOCK_BYTES, CANONICAL_LENGTH_AT, CANONICAL_VERSION, DIRECTORY_ENTRY_BYTES, DIRECTORY_HEAD_BYTES,
        EXACT_NUMBER, FIRST_BLOCK_BYTES, KIND_BITMAP, KIND_EXACT, MAGIC, PRIVATE_VERSION, TRAILER_BYTES,
        TRAILER_MAGIC,
    },
    posting,
    terms::Summary,
    wire::{fit_u32, pad, put_all},
};
pub(crate) use exact::put_exact;
use piperoll_format::{
    event::{Field, FieldSet},
    frame::FrameView,
    names::Name,
    units::{FrameSalt, Offset, Root, Sequence, UnixNanos},
};
use roaring::RoaringBitmap;
use std::ops::Range;

/// A whole `.idx`, and what a seal says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIndex {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// How many of them are the canonical part.
    pub canonical_length: u64,
    /// BLAKE3 of the canonical part.
    pub index_root: Root,
    /// Events in frames that check.
    pub events: u64,
    /// Frames that check.
    pub frames: u64,
    /// Earliest and latest time of a frame; `None` without one.
    pub received: Option<(UnixNanos, UnixNanos)>,
}

/// Builds an `.idx` from the frames of a `.log`.
pub struct Builder(Columns);

impl Builder {
    /// Begins; `first`, `salt` and `class` are those of the segment's header.
    pub fn new(first: Sequence, salt: &FrameSalt, class: &Name) -> Self {
        Self(Columns::new(first, salt, class))
    }

    /// Takes in the next frame that checks, as [`Columns::frame`] does.
    pub fn frame(&mut self, offset: Offset, frame: &FrameView<'_>) -> Result<(), IndexError> {
        self.0.frame(offset, frame)
    }

    /// The `.idx`; `root` is the BLAKE3 root of the `.log`.
    pub fn finish(self, root: &Root) -> Result<BuiltIndex, IndexError> {
        self.0.build(root)
    }
}

/// A section of the canonical part.
struct Section {
    number: u16,
    kind: u16,
    range: Range<usize>,
}

/// The index of a segment; its canonical part is a function of the log and of nothing else (I12).
pub(crate) fn build(columns: &Columns, root: &Root) -> Result<BuiltIndex, IndexError> {
    let mut bytes = first_block(columns, root);
    let directory = bytes.len();
    bytes.resize(directory + DIRECTORY_HEAD_BYTES + DIRECTORY_ENTRY_BYTES * (1 + columns.fields.len()), 0);
    let mut sections = Vec::new();
    put_section(EXACT_NUMBER, KIND_EXACT, &mut bytes, &mut sections, |out| put_exact(&columns.exact, out))?;
    for field in &columns.fields {
        put_section(field.field.number(), KIND_BITMAP, &mut bytes, &mut sections, |out| {
            put_bitmaps(field, out)
        })?;
    }
    put_directory(&sections, directory, &mut bytes)?;
    let canonical_length = bytes.len();
    overwrite(&mut bytes, CANONICAL_LENGTH_AT, &(canonical_length as u64).to_le_bytes());
    let index_root = Root(*blake3::hash(&bytes).as_bytes());
    put_private(columns, &mut bytes)?;
    let summary = &columns.summary;
    Ok(BuiltIndex {
        bytes,
        canonical_length: canonical_length as u64,
        index_root,
        events: summary.events.into(),
        frames: summary.frames.into(),
        received: summary.received,
    })
}

fn first_block(columns: &Columns, root: &Root) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(CANONICAL_VERSION.to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(columns.salt.0);
    bytes.extend(root.0);
    bytes.extend(u64::from(columns.summary.events).to_le_bytes());
    bytes.resize(FIRST_BLOCK_BYTES, 0);
    bytes
}

fn put_section(
    number: u16,
    kind: u16,
    out: &mut Vec<u8>,
    sections: &mut Vec<Section>,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let start = out.len();
    put(out)?;
    sections.push(Section { number, kind, range: start..out.len() });
    pad(out);
    Ok(())
}

fn put_directory(sections: &[Section], at: usize, out: &mut [u8]) -> Result<(), IndexError> {
    let mut directory = fit_u32(sections.len(), "the number of sections")?.to_le_bytes().to_vec();
    pad(&mut directory);
    for section in sections {
        directory.extend(section.number.to_le_bytes());
        directory.extend(section.kind.to_le_bytes());
        pad(&mut directory);
        directory.extend((section.range.start as u64).to_le_bytes());
        directory.extend((section.range.len() as u64).to_le_bytes());
    }
    overwrite(out, at, &directory);
    Ok(())
}

fn overwrite(out: &mut [u8], at: usize, with: &[u8]) {
    if let Some(place) = out.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
}

fn put_count(count: usize, what: &'static str, out: &mut Vec<u8>) -> Result<(), IndexError> {
    out.extend(fit_u32(count, what)?.to_le_bytes());
    out.extend([0; 4]);
    Ok(())
}

fn put_ends(ends: &[usize], what: &'static str, out: &mut Vec<u8>) -> Result<(), IndexError> {
    ends.iter().try_for_each(|&end| {
        out.extend(fit_u32(end, what)?.to_le_bytes());
        Ok(())
    })
}

fn put_bitmaps(field: &Interned, out: &mut Vec<u8>) -> Result<(), IndexError> {
    let mut ids: Vec<(u32, &[u8])> = (1..).zip(field.terms.iter().map(AsRef::as_ref)).collect();
    ids.sort_unstable_by_key(|&(_, term)| term);
    let ordinals_of = ByTerm::new(field);
    let (mut terms, mut term_ends): (Vec<u8>, Vec<usize>) = Default::default();
    let (mut postings, mut posting_ends): (Vec<u8>, Vec<usize>) = Default::default();
    for (id, term) in ids {
        terms.extend(term);
        term_ends.push(terms.len());
        posting::write(ordinals_of.get(id), &mut postings);
        posting_ends.push(postings.len());
    }
    put_count(term_ends.len(), "the number of terms", out)?;
    put_ends(&term_ends, "the terms of a field", out)?;
    out.extend(terms);
    pad(out);
    put_ends(&posting_ends, "the postings of a field", out)?;
    out.extend(postings);
    Ok(())
}

/// The ordinals of a column, grouped by id through counting.
struct ByTerm {
    ordinals: Vec<u32>,
    /// Of each id, the end of its ordinals.
    ends: Vec<usize>,
}

impl ByTerm {
    fn new(field: &Interned) -> Self {
        let mut ends = vec![0_usize; field.terms.len() + 2];
        for &id in &field.ids {
            if let Some(count) = ends.get_mut(id as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut ordinals = vec![0; field.ids.len()];
        for (ordinal, &id) in (0..).zip(&field.ids) {
            let Some(next) = ends.get_mut(id as usize) else { continue };
            if let Some(place) = ordinals.get_mut(*next) {
                *place = ordinal;
            }
            *next += 1;
        }
        Self { ordinals, ends }
    }

    fn get(&self, id: u32) -> &[u32] {
        let end = |id: usize| self.ends.get(id).copied().unwrap_or(0);
        let id = id as usize;
        self.ordinals.get(end(id - 1)..end(id)).unwrap_or_default()
    }
}

fn put_private(columns: &Columns, out: &mut Vec<u8>) -> Result<(), IndexError> {
    let canonical_length = out.len();
    let mut starts = Vec::new();
    let mut begin = |out: &mut Vec<u8>| {
        pad(out);
        starts.push(out.len());
    };
    begin(out);
    for row in &columns.frames {
        row.write(u32::try_from(row.offset.0).unwrap_or(0), out);
    }
    begin(out);
    put_all(columns.offsets.iter().map(|offset| offset.to_le_bytes()), out);
    begin(out);
    put_all(columns.checks.iter().map(|check| check.to_le_bytes()), out);
    begin(out);
    put_all(columns.times.iter().map(|time| time.to_le_bytes()), out);
    begin(out);
    put_presence(columns, out)?;
    let presence_end = out.len();
    begin(out);
    put_checks(out);
    put_trailer(&columns.summary, canonical_length, &starts, presence_end, out);
    Ok(())
}

/// Unlike postings these may have runs: nothing is proved with them. Fields that come and go together share one.
fn put_presence(columns: &Columns, out: &mut Vec<u8>) -> Result<(), IndexError> {
    let (mut places, mut bitmaps) = (Vec::new(), Vec::new());
    let mut put = |set: &mut RoaringBitmap| {
        set.optimize();
        let start = bitmaps.len();
        // Writing to memory does not fail; were it to, the reader would refuse what is missing.
        set.serialize_into(&mut bitmaps).map_err(|_| IndexError::damaged(0, "memory to write to"))?;
        Ok::<_, IndexError>([start, bitmaps.len()])
    };
    let present = || columns.present.iter().copied();
    let some = present().fold(FieldSet::default(), FieldSet::or);
    let every = present().reduce(FieldSet::and).unwrap_or_default();
    let none = put(&mut RoaringBitmap::new())?;
    let mut all = RoaringBitmap::new();
    all.insert_range(0..columns.summary.end);
    let all = put(&mut all)?;
    let mut others: Vec<(Bits, [usize; 2])> = Vec::new();
    for field in Field::ALL {
        if every.has(*field) || !some.has(*field) {
            places.extend(if every.has(*field) { all } else { none });
            continue;
        }
        let bits = Bits::scan(&columns.present, |present| present.has(*field));
        let shared = others.iter().find(|(other, _)| *other == bits).map(|(_, place)| *place);
        let place = shared.map_or_else(|| put(&mut bits.to_bitmap()), Ok)?;
        places.extend(place);
        if shared.is_none() {
            others.push((bits, place));
        }
    }
    put_ends(&places, "the presence of fields", out)?;
    out.extend(bitmaps);
    Ok(())
}

fn put_checks(out: &mut Vec<u8>) {
    let checks: Vec<u32> = out.chunks(BLOCK_BYTES).map(crc32fast::hash).collect();
    put_all(checks.iter().map(|crc| crc.to_le_bytes()), out);
}

fn put_trailer(
    summary: &Summary,
    canonical_length: usize,
    starts: &[usize],
    presence_end: usize,
    out: &mut Vec<u8>,
) {
    let mut trailer = TRAILER_MAGIC.to_vec();
    trailer.extend(PRIVATE_VERSION.to_le_bytes());
    trailer.extend([0; 6]);
    trailer.extend((canonical_length as u64).to_le_bytes());
    for place in starts.iter().chain([&presence_end]) {
        trailer.extend((*place as u64).to_le_bytes());
    }
    summary.write(&mut trailer);
    trailer.resize(TRAILER_BYTES - 4, 0);
    trailer.extend(crc32fast::hash(&trailer).to_le_bytes());
    out.extend(trailer);
}
