//! The walk through a segment after which its log knows where it ends: docs/format.md, "Recovery".
//!
//! Pure: the bytes come from a [`ByteSource`], through a buffer that never holds more than one frame of the
//! greatest length and one step of reading, whatever the file's length.

mod sums;
mod window;

pub use window::ByteSource;

use crate::entry::Mark;
use crate::fixed::is_zero;
use crate::frame::{FrameHeader, FrameView};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::segment::SegmentHeader;
use crate::units::{FrameSalt, Offset, Sequence, UnixNanos};
use std::ops::Range;
use sums::Sums;
use window::Window;

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// F: the first offset at which no frame checks and follows.
    pub end: Offset,
    /// The sequence expected there.
    pub end_sequence: Sequence,
    /// When the last frame before it was received; `None` without a frame.
    pub last_received: Option<UnixNanos>,
    /// Frames before it.
    pub frames: u64,
    /// D: the greatest offset that something says is durable.
    pub durable: u64,
    /// What stands from F on, and what that means.
    pub kind: VerdictKind,
    /// The frames behind F that check, in the order of the file.
    pub frames_after: Vec<FrameAfter>,
    /// Whether a later version wrote one of the frames: then the log opens read-only.
    pub newer: bool,
}

/// What stands behind the end of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// Nothing but zeros.
    Clean,
    /// A tail that was never acknowledged; it must be zeroed, durably, before the next append.
    Torn {
        /// From the first byte that is not zero to the end of the last such byte.
        not_zero: Range<u64>,
    },
    /// Bytes that were acknowledged are damaged or missing: nothing may be overwritten.
    Damaged(Damage),
}

/// What a walk knows about damage. It begins where the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Whether the mark was not met: no frame ends at its length with its end sequence.
    pub mark_not_met: bool,
}

/// A frame that checks, behind the end of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAfter {
    /// Where it is.
    pub offset: Offset,
    /// Its length in bytes.
    pub length: u32,
    /// Sequence of its first event.
    pub first: Sequence,
    /// Its events.
    pub events: u32,
}

/// Why a walk did not come to a verdict.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E: std::error::Error + 'static> {
    /// The source failed.
    #[error("reading at offset {offset} failed: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// The source's own error.
        source: E,
    },
    /// The source ended before the length that it was said to have.
    #[error("the file was said to have {length} bytes and ends at {offset}")]
    Short {
        /// Where it ended.
        offset: u64,
        /// The length it was said to have.
        length: u64,
    },
}

/// Walks through a segment's file of `file_length` bytes whose header is `header`.
///
/// `on_frame` sees every frame that checks and follows, in order; whether it is malformed inside is for it to
/// ask. Frames behind the end are only named in the verdict. `mark` is the segment's last one.
pub fn walk<S: ByteSource>(
    source: &mut S,
    header: &SegmentHeader,
    file_length: u64,
    mark: Option<&Mark>,
    on_frame: &mut dyn FnMut(Offset, &FrameView<'_>),
) -> Result<Verdict, WalkError<S::Error>> {
    let mut window = Window::new(source, file_length);
    let mut steps = Steps::new(header, mark);
    while let Some(frame) = window.frame(steps.at, &header.salt)? {
        if frame.header().first_sequence != steps.expected {
            break;
        }
        on_frame(Offset(steps.at), &frame);
        steps.step(frame.header(), mark);
    }
    let behind = look_behind(&mut window, &steps, &header.salt)?;
    Ok(steps.verdict(mark, behind))
}

/// How far a walk has come.
struct Steps {
    at: u64,
    expected: Sequence,
    last_received: Option<UnixNanos>,
    frames: u64,
    durable: u64,
    newer: bool,
    mark_met: bool,
}

impl Steps {
    fn new(header: &SegmentHeader, mark: Option<&Mark>) -> Self {
        let mut steps = Self {
            at: SEGMENT_HEADER_BYTES,
            expected: header.first,
            last_received: None,
            frames: 0,
            durable: mark.map_or(SEGMENT_HEADER_BYTES, |mark| mark.length.max(SEGMENT_HEADER_BYTES)),
            newer: false,
            mark_met: mark.is_none(),
        };
        steps.meet(mark);
        steps
    }

    fn step(&mut self, header: &FrameHeader, mark: Option<&Mark>) {
        self.at += u64::from(header.length);
        self.expected = header.end_sequence();
        self.last_received = Some(header.received);
        self.frames += 1;
        self.durable = self.durable.max(header.durable_end);
        self.newer |= header.is_newer();
        self.meet(mark);
    }

    fn meet(&mut self, mark: Option<&Mark>) {
        self.mark_met |= mark.is_some_and(|mark| (mark.length, mark.head.end) == (self.at, self.expected));
    }

    fn verdict(self, mark: Option<&Mark>, behind: Behind) -> Verdict {
        let durable = self.durable.max(behind.durable);
        let mark_not_met = mark.is_some() && !self.mark_met;
        // I8
        let kind = if self.at < durable || mark_not_met {
            VerdictKind::Damaged(Damage { mark_not_met })
        } else if let Some(not_zero) = behind.not_zero {
            VerdictKind::Torn { not_zero }
        } else {
            VerdictKind::Clean
        };
        Verdict {
            end: Offset(self.at),
            end_sequence: self.expected,
            last_received: self.last_received,
            frames: self.frames,
            durable,
            kind,
            frames_after: behind.frames,
            newer: self.newer,
        }
    }
}

/// What stands from the end of a walk to the end of the file.
#[derive(Default)]
struct Behind {
    frames: Vec<FrameAfter>,
    durable: u64,
    not_zero: Option<Range<u64>>,
}

impl Behind {
    fn see_bytes(&mut self, at: u64, bytes: &[u8]) {
        let first = bytes.iter().position(|byte| *byte != 0);
        let last = bytes.iter().rposition(|byte| *byte != 0);
        if let (Some(first), Some(last)) = (first, last) {
            let start = self.not_zero.as_ref().map_or(at + first as u64, |range| range.start);
            self.not_zero = Some(start..at + last as u64 + 1);
        }
    }

    fn see_frame(&mut self, at: u64, header: &FrameHeader) {
        self.durable = self.durable.max(header.durable_end);
        self.frames.push(FrameAfter {
            offset: Offset(at),
            length: header.length,
            first: header.first_sequence,
            events: header.event_count,
        });
    }
}

/// Bytes that are looked at together for being zero.
const BLOCK: u64 = 4_096;

/// Looks at every multiple of 8 behind the end for frames that check and do not lie before the expected
/// sequence. A frame that is found is stepped over as a whole.
fn look_behind<S: ByteSource>(
    window: &mut Window<'_, S>,
    steps: &Steps,
    salt: &FrameSalt,
) -> Result<Behind, WalkError<S::Error>> {
    let mut behind = Behind::default();
    let mut sums = Sums::default();
    let (mut at, mut next_frame_at) = (steps.at, steps.at);
    while at < window.file_length() {
        let block = window.bytes(at, BLOCK)?;
        let length = block.len() as u64;
        let nothing = is_zero(block);
        if !nothing {
            behind.see_bytes(at, block);
        }
        // No frame begins in zeros: its length would be 0.
        let mut candidate = next_frame_at.max(if nothing { at + length } else { at });
        while candidate < at + length {
            candidate += match frame_behind(window, &mut sums, candidate, steps.expected, salt)? {
                Some(header) => {
                    behind.see_frame(candidate, &header);
                    header.length.into()
                }
                None => 8,
            };
        }
        next_frame_at = candidate;
        at += length;
    }
    Ok(behind)
}

/// The header of the frame that checks at `at` and does not lie before `expected`.
fn frame_behind<S: ByteSource>(
    window: &mut Window<'_, S>,
    sums: &mut Sums,
    at: u64,
    expected: Sequence,
    salt: &FrameSalt,
) -> Result<Option<FrameHeader>, WalkError<S::Error>> {
    let Some(header) = window.header(at)?.filter(|header| header.first_sequence >= expected) else {
        return Ok(None);
    };
    if !sums.may_check(at, &header, window.bytes(at, header.length.into())?, salt) {
        return Ok(None);
    }
    Ok(window.frame(at, salt)?.map(|frame| *frame.header()))
}
