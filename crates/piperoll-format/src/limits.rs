//! Every limit of the bytes, named; how they relate is proved when compiling.

/// Longest event, in bytes of its own encoding.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Longest run of events in one request: tags, lengths and events.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most events in one request.
pub const BATCH_EVENTS_MAX: usize = 16_384;
/// Deepest nesting of messages in an event, the event itself being 1.
pub const EVENT_DEPTH_MAX: usize = 8;
/// Longest string of a frame's envelope, in bytes.
pub const ENVELOPE_TEXT_BYTES_MAX: usize = 1_024;
/// Longest frame, header, table, envelope, payload and padding.
pub const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest segment file.
pub const SEGMENT_BYTES_MAX: u64 = (1 << 32) - 8;
/// Most events in a segment.
pub const SEGMENT_EVENTS_MAX: u64 = 1 << 24;
/// Longest name of a tenant or a retention class.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest envelope of a frame: four fields, and a part of its own for every event of a split message.
pub const ENVELOPE_BYTES_MAX: usize =
    3 * (ENVELOPE_TEXT_BYTES_MAX + 4) + 8 + BATCH_EVENTS_MAX * (NAME_BYTES_MAX + 16);

/// Bytes that the header of a frame takes.
pub const FRAME_HEADER_BYTES: u64 = 72;
/// Bytes that the header of a segment takes.
pub const SEGMENT_HEADER_BYTES: u64 = 1_024;

// A full batch with the longest table and envelope still fits a frame, padding counted.
const _: () = assert!(
    BATCH_BYTES_MAX as u64 + 8 * BATCH_EVENTS_MAX as u64 + ENVELOPE_BYTES_MAX as u64 + 8
        <= FRAME_BYTES_MAX - FRAME_HEADER_BYTES
);
// A frame of the largest size fits a segment of the largest size.
const _: () = assert!(FRAME_BYTES_MAX + SEGMENT_HEADER_BYTES <= SEGMENT_BYTES_MAX);
const _: () = assert!(EVENT_BYTES_MAX + 8 <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_EVENTS_MAX as u64 <= SEGMENT_EVENTS_MAX);
