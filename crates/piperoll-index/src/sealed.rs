//! The index of a sealed segment, read in place.

mod bitmaps;
mod blocks;
mod exact;
mod parts;

use crate::{
    bits::Bits,
    error::IndexError,
    group::Labels,
    layout::{
        BLOCK_BYTES, CANONICAL_LENGTH_AT, CANONICAL_VERSION, DIRECTORY_ENTRY_BYTES, DIRECTORY_HEAD_BYTES,
        EVENTS_AT, EXACT_NUMBER, FIRST_BLOCK_BYTES, KIND_BITMAP, KIND_EXACT, LOG_ROOT_AT, MAGIC,
        PRIVATE_VERSION, Private, TRAILER_BYTES, TRAILER_MAGIC,
    },
    posting::{Posting, common},
    term_set::TermSet,
    terms::{FrameRow, Summary, Terms, TermsOfField, bitmap_fields, slices},
    wire::{i64_at, u16_at, u32_at, u64_at, within},
};
use bitmaps::BitmapSection;
use blocks::Blocks;
pub use blocks::GoodBlocks;
use exact::ExactSection;
pub use exact::ExactTotals;
use piperoll_format::{
    event::{Field, Indexed},
    limits::SEGMENT_EVENTS_MAX,
    units::Root,
};
use roaring::RoaringBitmap;
use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

/// An `.idx`, lent from where it lies. Nothing of it is believed: each block is checked against its checksum
/// before it is looked at for the first time, and every place against the file's end.
///
/// Opening costs a few pages, whatever the file's length; keep its [`IndexLayout`] for as long as the same segment is
/// asked.
pub struct SealedIndex<'a> {
    bytes: &'a [u8],
    blocks: Blocks<'a>,
    layout: Arc<IndexLayout>,
    known: Option<&'a TermSet>,
}

/// Where the parts of an `.idx` lie, as its head and its trailer say, whose checksums were found right.
pub struct IndexLayout {
    /// Length of the file in bytes.
    length: usize,
    /// Where the checksums of its blocks begin.
    checks: usize,
    summary: Summary,
    canonical_length: usize,
    log_root: Root,
    private: PrivateParts,
    exact: ExactSection,
    /// By ascending field number.
    fields: Vec<(Field, Range<usize>)>,
}

impl IndexLayout {
    /// Where the bitmaps or the times of a field lie, its terms first; empty for a field that has neither.
    pub fn range_of(&self, field: Field) -> Range<usize> {
        if field.indexed() == Indexed::Range {
            return self.private.start(Private::Times)..self.private.start(Private::Presence);
        }
        let section = self.fields.iter().find(|(other, _)| *other == field);
        section.map_or(0..0, |(_, range)| range.clone())
    }

    /// Where it says in which frame, where and with which check each event is.
    pub fn range_of_events(&self) -> Range<usize> {
        self.private.start(Private::Frames)..self.private.start(Private::Times)
    }
}

/// Where the sections of the private part begin, and where the last one ends.
#[derive(Clone, Copy)]
struct PrivateParts {
    starts: [usize; Private::ALL.len()],
    presence_end: usize,
}

impl PrivateParts {
    fn start(&self, part: Private) -> usize {
        self.starts.get(part as usize).copied().unwrap_or(self.presence_end)
    }
}

/// What the trailer says.
struct Trailer {
    canonical_length: usize,
    private: PrivateParts,
    checks: usize,
    summary: Summary,
}

impl Trailer {
    fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let start = bytes.len().saturating_sub(TRAILER_BYTES);
        let damaged = |expected| IndexError::damaged(start, expected);
        let trailer = bytes.get(start..).filter(|trailer| trailer.starts_with(TRAILER_MAGIC));
        let trailer = trailer.ok_or_else(|| damaged("the private part's trailer at the end of the file"))?;
        let (content, crc) =
            trailer.split_at_checked(TRAILER_BYTES - 4).ok_or_else(|| damaged("a whole trailer"))?;
        if u32_at(crc, 0) != Some(crc32fast::hash(content)) {
            return Err(damaged("the trailer's crc32"));
        }
        check_version("private", u16_at(content, 8).unwrap_or(0), PRIVATE_VERSION)?;
        let place = |at| usize::try_from(u64_at(content, at)?).ok();
        let read = || {
            let starts = [place(24)?, place(32)?, place(40)?, place(48)?, place(56)?];
            Some(Self {
                canonical_length: place(16)?,
                private: PrivateParts { starts, presence_end: place(72)? },
                checks: place(64)?,
                summary: Summary::read(content.get(80..)?)?,
            })
        };
        let trailer = read().ok_or_else(|| damaged("places within the file"))?;
        if trailer.adds_up(start) { Ok(trailer) } else { Err(damaged("sections that follow each other")) }
    }

    /// Whether each section ends before the next one begins, and the checksums at `end`.
    fn adds_up(&self, end: usize) -> bool {
        let Summary { end: ordinals, events, frames, unreadable, timed, .. } = self.summary;
        let ordinals = ordinals as usize;
        let lengths = [FrameRow::BYTES * frames as usize, 4 * ordinals, 4 * ordinals, 8 * ordinals];
        let [first, others @ ..] = self.private.starts;
        let mut limits = others.into_iter();
        let fit = self.private.starts.iter().zip(lengths).all(|(&start, length)| {
            limits.next().is_some_and(|limit| within(start, length, limit).is_some())
        });
        let presence = self.private.start(Private::Presence);
        let checks = 4 * self.checks.div_ceil(BLOCK_BYTES);
        fit && self.canonical_length <= first
            && presence <= self.private.presence_end
            && self.private.presence_end <= self.checks
            && self.checks.checked_add(checks) == Some(end)
            && u64::from(self.summary.end) <= SEGMENT_EVENTS_MAX
            && events <= self.summary.end
            && unreadable.max(timed) <= events
            && frames <= events
    }
}

fn check_version(part: &'static str, found: u16, expected: u16) -> Result<(), IndexError> {
    if found == expected { Ok(()) } else { Err(IndexError::Version { part, found, expected }) }
}

impl<'a> SealedIndex<'a> {
    /// Opens a whole `.idx`.
    pub fn open(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let trailer = Trailer::read(bytes)?;
        let cut = || IndexError::damaged(trailer.checks, "checksums of all blocks");
        let (content, checks) = bytes.split_at_checked(trailer.checks).ok_or_else(cut)?;
        let blocks = Blocks::new(content, checks, GoodBlocks::none_of(content.len()));
        let first = blocks.part(0, FIRST_BLOCK_BYTES, trailer.canonical_length)?;
        let log_root = check_first_block(first, &trailer)?;
        let (exact, fields) = read_directory(&blocks, trailer.canonical_length)?;
        let layout = IndexLayout {
            length: bytes.len(),
            checks: trailer.checks,
            summary: trailer.summary,
            canonical_length: trailer.canonical_length,
            log_root,
            private: trailer.private,
            exact: ExactSection::open(&blocks, exact)?,
            fields,
        };
        Ok(Self { bytes, blocks, layout: Arc::new(layout), known: None })
    }

    /// Opens a whole `.idx` once more, of which the layout is known. Each block is checked again before it is looked
    /// at, but for those in `good`.
    pub fn open_again(
        bytes: &'a [u8],
        layout: &Arc<IndexLayout>,
        good: GoodBlocks,
    ) -> Result<Self, IndexError> {
        let cut = || IndexError::damaged(layout.length, "the end of the file, where it was before");
        let whole = bytes.split_at_checked(layout.checks).filter(|_| bytes.len() == layout.length);
        let (content, checks) = whole.ok_or_else(cut)?;
        let blocks = Blocks::new(content, checks, good);
        Ok(Self { bytes, blocks, layout: Arc::clone(layout), known: None })
    }

    /// The same, which looks for terms first where they were when its terms were learnt.
    #[must_use]
    pub fn knowing(self, known: Option<&'a TermSet>) -> Self {
        Self { known, ..self }
    }

    /// Which of its blocks were found good; grows as others are looked at.
    pub fn good_blocks(&self) -> GoodBlocks {
        self.blocks.good()
    }

    /// Where its parts lie.
    pub fn layout(&self) -> Arc<IndexLayout> {
        Arc::clone(&self.layout)
    }

    /// Length of the canonical part.
    pub fn canonical_length(&self) -> u64 {
        self.layout.canonical_length as u64
    }

    /// BLAKE3 of the canonical part: what the seal calls the index root. Reads all of it.
    pub fn canonical_root(&self) -> Root {
        let canonical = self.bytes.get(..self.layout.canonical_length).unwrap_or_default();
        Root(*blake3::hash(canonical).as_bytes())
    }

    /// The BLAKE3 root of the `.log` that the index says it was made from.
    pub fn log_root(&self) -> Root {
        self.layout.log_root
    }

    /// Checks every block against its checksum. Reads the whole file.
    pub fn verify(&self) -> Result<(), IndexError> {
        self.blocks.check_all()
    }

    /// Reads all exact keys, and counts them: whether they are written as a writer writes them.
    pub fn verify_exact(&self) -> Result<ExactTotals, IndexError> {
        self.layout.exact.check(&self.blocks, self.layout.summary.end, |_, _| {})
    }

    fn section(&self, field: Field) -> Result<Option<BitmapSection>, IndexError> {
        let section = self.layout.fields.iter().find(|(other, _)| *other == field);
        section.map(|(_, range)| BitmapSection::open(&self.blocks, range)).transpose()
    }

    /// The postings of each set's terms; nothing where a set has none. Each step is done for all sets before the next one, so
    /// that memory is waited for once and not for each of them.
    fn postings(&self, sets: &[TermsOfField]) -> Result<Vec<Vec<Posting<'a>>>, IndexError> {
        let mut found = Vec::with_capacity(sets.len());
        for (field, terms) in sets {
            match self.find(*field, &slices(terms))? {
                Some((section, indices)) if !indices.is_empty() => found.push((section, indices)),
                _ => return Ok(Vec::new()),
            }
        }
        let bytes = found.iter().map(|(section, indices)| section.bytes_of(&self.blocks, indices));
        let bytes: Vec<_> = bytes.collect::<Result<_, _>>()?;
        let parsed = found
            .iter()
            .zip(&bytes)
            .map(|((section, _), bytes)| section.parse(bytes, self.layout.summary.end));
        parsed.collect()
    }

    fn postings_of(&self, field: Field, terms: &[&[u8]]) -> Result<Vec<Posting<'a>>, IndexError> {
        let Some((section, indices)) = self.find(field, terms)? else { return Ok(Vec::new()) };
        section.parse(&section.bytes_of(&self.blocks, &indices)?, self.layout.summary.end)
    }

    /// Where those of the terms stand that are there.
    fn find(&self, field: Field, terms: &[&[u8]]) -> Result<Option<(BitmapSection, Vec<usize>)>, IndexError> {
        let Some(section) = self.section(field)? else { return Ok(None) };
        let mut indices = Vec::with_capacity(terms.len());
        for term in terms {
            let places = self.known.and_then(|known| known.places(field, term));
            indices.extend(section.index_of(&self.blocks, term, places)?);
        }
        Ok(Some((section, indices)))
    }

    /// Bytes of a section of the private part, from `start` of it.
    fn private(&self, part: Private, start: usize, length: usize) -> Result<&'a [u8], IndexError> {
        self.blocks.part(
            self.layout.private.start(part).saturating_add(start),
            length,
            self.layout.private.presence_end,
        )
    }

    /// The u32 that a section of the private part has for an ordinal; 0 behind the last one.
    fn of_ordinal(&self, part: Private, ordinal: u32) -> Result<u32, IndexError> {
        if ordinal >= self.layout.summary.end {
            return Ok(0);
        }
        Ok(u32_at(self.private(part, 4 * ordinal as usize, 4)?, 0).unwrap_or(0))
    }
}

fn unordered() -> IndexError {
    IndexError::damaged(0, "bitmaps whose ordinals ascend")
}

/// The root of the `.log` that stands in the first block.
fn check_first_block(first: &[u8], trailer: &Trailer) -> Result<Root, IndexError> {
    if !first.starts_with(MAGIC) {
        return Err(IndexError::damaged(0, "PIPEIDX1"));
    }
    check_version("canonical", u16_at(first, MAGIC.len()).unwrap_or(0), CANONICAL_VERSION)?;
    if u64_at(first, CANONICAL_LENGTH_AT) != Some(trailer.canonical_length as u64) {
        return Err(IndexError::damaged(CANONICAL_LENGTH_AT, "the canonical length, as in the private part"));
    }
    if u64_at(first, EVENTS_AT) != Some(trailer.summary.events.into()) {
        return Err(IndexError::damaged(EVENTS_AT, "the number of events, as in the private part"));
    }
    let root = first.get(LOG_ROOT_AT..).and_then(|rest| rest.first_chunk());
    root.map(|root| Root(*root)).ok_or_else(|| IndexError::damaged(LOG_ROOT_AT, "the root of the .log"))
}

type Sections = (Range<usize>, Vec<(Field, Range<usize>)>);

fn read_directory(blocks: &Blocks<'_>, limit: usize) -> Result<Sections, IndexError> {
    let expected: Vec<(u16, u16)> = std::iter::once((EXACT_NUMBER, KIND_EXACT))
        .chain(bitmap_fields().map(|field| (field.number(), KIND_BITMAP)))
        .collect();
    let damaged = || IndexError::damaged(FIRST_BLOCK_BYTES, "the exact section and each bitmap field's");
    if blocks.u32(FIRST_BLOCK_BYTES, 0, limit)? as usize != expected.len() {
        return Err(damaged());
    }
    let mut end = FIRST_BLOCK_BYTES + DIRECTORY_HEAD_BYTES + DIRECTORY_ENTRY_BYTES * expected.len();
    let mut ranges = Vec::new();
    for (index, (number, kind)) in expected.into_iter().enumerate() {
        let at = FIRST_BLOCK_BYTES + DIRECTORY_HEAD_BYTES + DIRECTORY_ENTRY_BYTES * index;
        let entry = blocks.part(at, DIRECTORY_ENTRY_BYTES, limit)?;
        let place = |at| usize::try_from(u64_at(entry, at)?).ok();
        let range = place(8).zip(place(16)).and_then(|(start, length)| within(start, length, limit));
        let range = range.filter(|range| range.start == end).ok_or_else(damaged)?;
        if u16_at(entry, 0) != Some(number) || u16_at(entry, 2) != Some(kind) {
            return Err(damaged());
        }
        end = range.end.next_multiple_of(8);
        ranges.push(range);
    }
    let mut ranges = ranges.into_iter();
    let exact = ranges.next().ok_or_else(damaged)?;
    Ok((exact, bitmap_fields().zip(ranges).collect()))
}

impl Terms for SealedIndex<'_> {
    fn summary(&self) -> &Summary {
        &self.layout.summary
    }

    fn frame_at(&self, number: u32) -> Result<FrameRow, IndexError> {
        let at = FrameRow::BYTES * number as usize;
        let beyond =
            || IndexError::damaged(self.layout.private.start(Private::Frames), "a frame with this number");
        if number >= self.layout.summary.frames {
            return Err(beyond());
        }
        FrameRow::read(self.private(Private::Frames, at, FrameRow::BYTES)?).ok_or_else(beyond)
    }

    fn field_offset(&self, ordinal: u32) -> Result<u32, IndexError> {
        self.of_ordinal(Private::Offsets, ordinal)
    }

    fn event_check(&self, ordinal: u32) -> Result<u32, IndexError> {
        self.of_ordinal(Private::Checks, ordinal)
    }

    fn with_terms(&self, field: Field, terms: &[&[u8]]) -> Result<RoaringBitmap, IndexError> {
        let Some((section, indices)) = self.find(field, terms)? else { return Ok(RoaringBitmap::new()) };
        section.union(&self.blocks, indices, self.layout.summary.end)
    }

    fn cardinality(&self, field: Field, terms: &[&[u8]]) -> Result<u64, IndexError> {
        let Some((section, indices)) = self.find(field, terms)? else { return Ok(0) };
        section.cardinality(&self.blocks, indices, self.layout.summary.end)
    }

    fn present(&self, field: Field) -> Result<RoaringBitmap, IndexError> {
        // Numbers begin with 1 and have no gaps.
        let index = usize::from(field.number()) - 1;
        let start = self.layout.private.start(Private::Presence);
        let bitmaps = start.saturating_add(8 * Field::ALL.len());
        let limit = self.layout.private.presence_end;
        let from = self.blocks.u32(start, 2 * index, limit)? as usize;
        let to = self.blocks.u32(start, 2 * index + 1, limit)? as usize;
        let damaged = || IndexError::damaged(bitmaps, "a Roaring bitmap of the events with a field");
        let length = to.checked_sub(from).ok_or_else(damaged)?;
        let bytes = self.blocks.part(bitmaps.saturating_add(from), length, limit)?;
        let set = RoaringBitmap::deserialize_from(bytes).ok();
        set.filter(|set| set.max().is_none_or(|last| last < self.layout.summary.end)).ok_or_else(damaged)
    }

    fn with_prefix(&self, field: Field, prefix: &[u8]) -> Result<RoaringBitmap, IndexError> {
        let Some(section) = self.section(field)? else { return Ok(RoaringBitmap::new()) };
        section.with_prefix(&self.blocks, prefix, self.layout.summary.end)
    }

    fn with_key(&self, key: u32) -> Result<RoaringBitmap, IndexError> {
        self.layout.exact.find(&self.blocks, key, self.layout.summary.end)
    }

    fn with_time(&self, range: RangeInclusive<i64>) -> Result<RoaringBitmap, IndexError> {
        let end = self.layout.summary.end;
        let timed = self.present(Field::Time)?;
        let (earliest, latest) = self.layout.summary.time.unwrap_or_default();
        if range.contains(&earliest.0) && range.contains(&latest.0) {
            return Ok(timed);
        }
        let times = self.private(Private::Times, 0, 8 * end as usize)?;
        Ok(Bits::scan(times.as_chunks().0, |time| range.contains(&i64::from_le_bytes(time))).to_bitmap()
            & timed)
    }

    fn claimed_times(&self, among: &RoaringBitmap, each: &mut dyn FnMut(u32, i64)) -> Result<(), IndexError> {
        let timed = self.present(Field::Time)? & among;
        let times = self.private(Private::Times, 0, 8 * self.layout.summary.end as usize)?;
        timed.iter().for_each(|ordinal| each(ordinal, i64_at(times, 8 * ordinal as usize).unwrap_or(0)));
        Ok(())
    }

    fn term_count(&self, field: Field) -> Result<usize, IndexError> {
        Ok(self.section(field)?.map_or(0, |section| section.term_count()))
    }

    fn each_term(&self, field: Field, each: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        self.section(field)?.map_or(Ok(()), |section| section.each_term(&self.blocks, each))
    }

    fn count_terms(
        &self,
        field: Field,
        among: &RoaringBitmap,
        each: &mut dyn FnMut(&[u8], u64),
    ) -> Result<(), IndexError> {
        let Some(section) = self.section(field)? else { return Ok(()) };
        let all = among.len() == u64::from(self.layout.summary.end);
        let bits = (!all).then(|| Bits::from_bitmap(among, self.layout.summary.end));
        section.count(&self.blocks, bits.as_ref(), self.layout.summary.end, each)
    }

    fn labels(&self, field: Field) -> Result<Labels, IndexError> {
        let end = self.layout.summary.end;
        self.section(field)?
            .map_or_else(|| Ok(Labels::none(end)), |section| section.labels(&self.blocks, end))
    }

    fn with_all(&self, sets: &[TermsOfField]) -> Result<RoaringBitmap, IndexError> {
        if let [(field, terms)] = sets {
            return self.with_terms(*field, &slices(terms));
        }
        common::set(&self.postings(sets)?, self.layout.summary.end).ok_or_else(unordered)
    }

    fn count_with_all(&self, sets: &[TermsOfField]) -> Result<u64, IndexError> {
        common::count(&self.postings(sets)?, self.layout.summary.end).ok_or_else(unordered)
    }

    fn among(
        &self,
        events: &RoaringBitmap,
        field: Field,
        terms: &[&[u8]],
    ) -> Result<RoaringBitmap, IndexError> {
        let postings = self.postings_of(field, terms)?;
        let has = |ordinal: &u32| postings.iter().any(|posting| posting.has(*ordinal));
        Ok(events.iter().filter(has).collect())
    }
}
