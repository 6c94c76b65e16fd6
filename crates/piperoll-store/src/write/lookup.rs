//! Whether a request was stored before, from what the logs say (R2, R3).

use crate::catalog::Log;
use crate::core::Core;
use crate::disk::Disk;
use crate::durable::{FileKind, read_whole};
use crate::recover::PRODUCERS_BYTES_MAX;
use crate::segment::{Home, PinError, Pinned, Segment, TermSource};
use crate::write::batch::AddressRange;
use crate::write::part::{ProducerName, Route, cut};
use piperoll_format::envelope::{Envelope, SplitPart};
use piperoll_format::frame::{FrameView, ProducerKey};
use piperoll_format::names::Name;
use piperoll_format::producers::decode_producers;
use piperoll_format::request::CheckedBatch;
use piperoll_format::units::{Offset, Sequence, UnixNanos};
use piperoll_index::{IndexError, Terms, producer_key};
use std::io::ErrorKind;

/// What the logs know of a request.
pub(crate) enum Known {
    /// Nothing of it is stored, as far back as the window reaches.
    Nothing {
        /// The producer's greatest sequence before that.
        floor: u64,
    },
    /// It was stored before the window.
    Old,
    /// Something else is stored under its key.
    Other,
    /// It is stored, or parts of it are.
    Stored {
        /// The parts that are, in the order of their classes.
        ranges: Vec<AddressRange>,
        /// All parts, as the stored ones name them.
        routes: Vec<Route>,
    },
}

/// A message as it is stored.
struct StoredMessage {
    range: AddressRange,
    split: Vec<SplitPart>,
    payload: Vec<u8>,
}

/// Looks for a request of a producer in all logs of its tenant, as far back as the window reaches.
pub(crate) fn find<D: Disk>(
    core: &Core<D>,
    tenant: &Name,
    name: &ProducerName,
    key: ProducerKey,
    request: &CheckedBatch,
) -> Result<Known, PinError> {
    let since = UnixNanos(core.now().0.saturating_sub_unsigned(core.options.producer_window_ns));
    let mut messages = Vec::new();
    // For each log without the message the producer's last sequence before what was looked through.
    let mut floors: Vec<(Name, u64)> = Vec::new();
    for log in core.catalog.logs_of(tenant) {
        match in_log(&log, since, name, key)? {
            (Some(message), _) => messages.push(message),
            (None, Some(oldest)) if oldest.0 > 0 => {
                floors.push((log.class().clone(), last_before(log.home(), oldest, name)?));
            }
            (None, _) => {}
        }
    }
    if messages.iter().any(|message| message.range.received < since) {
        return Ok(Known::Old);
    }
    let floor = floors.iter().map(|(_, floor)| *floor).max().unwrap_or(0);
    let known = compare(messages, request).unwrap_or(Known::Nothing { floor });
    let may_be_gone = |class: &Name| floors.iter().any(|(own, floor)| own == class && *floor >= key.sequence);
    match &known {
        // A part that is not there may have been, in a segment that is too old or dropped.
        Known::Stored { routes, .. } if routes.iter().any(|route| may_be_gone(&route.class)) => {
            Ok(Known::Old)
        }
        _ => Ok(known),
    }
}

/// The message in one log, and the first sequence of the oldest segment that reaches into the window.
fn in_log<D: Disk>(
    log: &Log<D>,
    since: UnixNanos,
    name: &ProducerName,
    key: ProducerKey,
) -> Result<(Option<StoredMessage>, Option<Sequence>), PinError> {
    let mut oldest = None;
    for segment in log.snapshot().iter().rev() {
        if is_before(segment, since) {
            break;
        }
        oldest = Some(segment.first());
        match in_segment(segment, name, key) {
            Ok(Some(message)) => return Ok((Some(message), oldest)),
            Ok(None) | Err(PinError::Dropped | PinError::Lost) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((None, oldest))
}

/// The last sequence of a producer in a log before the segment `first`; 0 where the file of its roll has none. A file
/// that cannot be read says nothing of what was sent: whoever asks must not take that for a no.
fn last_before<D: Disk>(home: &Home<D>, first: Sequence, name: &ProducerName) -> Result<u64, PinError> {
    let path = FileKind::Producers.path(&home.dir, first);
    let bytes = match read_whole(&*home.disk, &path, PRODUCERS_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(PinError::Io { path, source }),
    };
    let states = decode_producers(&bytes).map_err(|error| PinError::damaged(&path, Offset(0), error))?;
    let own = states.iter().filter(|state| state.id == name.id && state.principal == *name.principal);
    Ok(own.map(|state| state.last_sequence).max().unwrap_or(0))
}

fn is_before<D: Disk>(segment: &Segment<D>, since: UnixNanos) -> bool {
    // The seal says when; where it cannot be read, the pin tells so.
    let sealed = segment.seal().ok().flatten().map(|seal| seal.latest_received);
    let latest = sealed.or_else(|| segment.received_range().map(|(_, latest)| latest));
    latest.is_some_and(|latest| latest < since)
}

fn in_segment<D: Disk>(
    segment: &Segment<D>,
    name: &ProducerName,
    key: ProducerKey,
) -> Result<Option<StoredMessage>, PinError> {
    let pinned = segment.pin()?;
    let damaged = |error: IndexError| PinError::damaged(pinned.log.path(), Offset(0), error);
    let offsets = match &pinned.terms {
        TermSource::Active(columns) => offsets(&columns.read().columns, name, key),
        TermSource::Sealed(index) => index.open().and_then(|index| offsets(&index, name, key)),
    };
    for offset in offsets.map_err(damaged)? {
        let frame = pinned.log.frame(offset)?;
        let message = in_frame(&pinned, &frame, name, key);
        if message.is_some() {
            return Ok(message);
        }
    }
    Ok(None)
}

/// Where the frames are that may hold the message.
fn offsets(terms: &dyn Terms, name: &ProducerName, key: ProducerKey) -> Result<Vec<Offset>, IndexError> {
    let mut offsets = Vec::new();
    for ordinal in terms.with_key(producer_key(&name.principal, key))? {
        offsets.extend(terms.frame_of(ordinal)?.map(|frame| frame.offset));
    }
    Ok(offsets)
}

/// The message of a frame, if it has it: the key in the index was a hint only.
fn in_frame(
    pinned: &Pinned,
    frame: &FrameView<'_>,
    name: &ProducerName,
    key: ProducerKey,
) -> Option<StoredMessage> {
    let own = frame.producer().filter(|own| own.id == key.id)?;
    let number = usize::try_from(key.sequence.checked_sub(own.sequence)?).ok()?;
    let envelope = Envelope::decode(frame.envelope()).ok()?;
    if envelope.principal != *name.principal {
        return None;
    }
    let (mut first, mut at) = (frame.header().first_sequence, 0);
    for (place, span) in frame.messages().enumerate() {
        let (end, to) = (first.plus(span.events.into()), at + span.payload_bytes as usize);
        if place == number {
            let positions = own_positions(&envelope, &pinned.class);
            let class = pinned.class.clone();
            let range = AddressRange { class, first, end, received: frame.header().received, positions };
            let payload = frame.payload().get(at..to)?.to_vec();
            let is_published = end <= pinned.end;
            return is_published.then_some(StoredMessage { range, split: envelope.split, payload });
        }
        (first, at) = (end, to);
    }
    None
}

fn own_positions(envelope: &Envelope, class: &Name) -> Vec<u32> {
    envelope.part(class).map(|part| part.positions.clone()).unwrap_or_default()
}

/// Whether what is stored is the request, byte for byte; `None` where nothing is.
fn compare(messages: Vec<StoredMessage>, request: &CheckedBatch) -> Option<Known> {
    let head = messages.first()?;
    let routes: Vec<Route> = if head.split.is_empty() {
        vec![Route { class: head.range.class.clone(), positions: Vec::new() }]
    } else {
        head.split
            .iter()
            .map(|part| Route { class: part.class.clone(), positions: part.positions.clone() })
            .collect()
    };
    let count: usize = routes.iter().map(|route| route.positions.len()).sum();
    if !head.split.is_empty() && count != request.spans.len() {
        return Some(Known::Other);
    }
    let is_same = |message: &StoredMessage| {
        let pieces = cut(request, &message.range.positions);
        message.split == head.split && pieces.is_some_and(|pieces| pieces.concat() == message.payload)
    };
    if !messages.iter().all(is_same) {
        return Some(Known::Other);
    }
    let mut ranges: Vec<AddressRange> = messages.into_iter().map(|message| message.range).collect();
    ranges.sort_by(|a, b| a.class.cmp(&b.class));
    Some(Known::Stored { ranges, routes })
}
