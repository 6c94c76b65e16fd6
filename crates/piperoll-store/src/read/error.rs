//! Why a question gets no answer.

use super::position::PositionError;
use crate::segment::PinError;
use piperoll_format::{names::Name, units::Sequence};
use std::{io, path::PathBuf};

/// Why a question gets no answer. There is never a shorter answer that looks whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes that the answer needs are not what was written.
    #[error(
        "{} is damaged at offset {offset}: {reason}; {class}@{first} to {class}@{end} (exclusive) may be \
        unreadable; ask for what lies before or behind, and run `piperoll status`",
        path.display()
    )]
    DataLoss {
        /// The file, within the data directory.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was expected and what is there.
        reason: String,
        /// The retention class of its log.
        class: Name,
        /// The first sequence in question.
        first: Sequence,
        /// The sequence after the last one in question.
        end: Sequence,
    },
    /// The system refused to read a file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file, within the data directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The position belongs to something else.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// There is no event at this address, and never was.
    #[error("there is no event {class}@{sequence}: the log of {tenant}/{class} ends at {end}")]
    NotFound {
        /// The tenant.
        tenant: Name,
        /// The retention class.
        class: Name,
        /// The sequence asked for.
        sequence: Sequence,
        /// The sequence that the log's next event gets; 0 where there is no such log.
        end: Sequence,
    },
    /// The event was there, and is not any more.
    #[error("{class}@{sequence} is gone: what {tenant}/{class} holds begins at {first}")]
    Dropped {
        /// The tenant.
        tenant: Name,
        /// The retention class.
        class: Name,
        /// The sequence asked for.
        sequence: Sequence,
        /// The first sequence that is still there, or the next one behind the gap.
        first: Sequence,
    },
    /// The event was lost, and a person accepted that.
    #[error(
        "{class}@{sequence} is lost, or never was: the loss of {class}@{first} to {class}@{end} (exclusive) was accepted; see `piperoll status`"
    )]
    Lost {
        /// The retention class.
        class: Name,
        /// The sequence asked for.
        sequence: Sequence,
        /// The first sequence that is lost.
        first: Sequence,
        /// The sequence after the last one that may be lost.
        end: Sequence,
    },
    /// Nothing can be counted by this.
    #[error("cannot count by {0}: {1}")]
    NotCountedBy(String, &'static str),
    /// The values to count by are too many to be held.
    #[error("more than {max} {what} to count by; narrow the filter, or count by a field with fewer values")]
    TooManyGroups {
        /// How many are too many.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// Nobody lists the values of this.
    #[error("cannot list the values of {0}: {1}")]
    NotListed(String, &'static str),
    /// The values to list are too many to be held.
    #[error("more than {max} {what} to list; narrow the filter, or say how the values begin")]
    TooManyValues {
        /// How many are too many.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// The values stand in the events alone, and these are too many.
    #[error(
        "the index does not hold the values of {subject}, and more than {max} events match, the most that are \
        read for such a list; narrow the filter, by time or by a field such as stage"
    )]
    TooManyToRead {
        /// Whose values.
        subject: String,
        /// How many events are too many.
        max: u64,
    },
    /// Whoever asked does not wait any more.
    #[error(
        "the question was cancelled before its answer was complete; narrow the filter or allow more time"
    )]
    Cancelled,
    /// The time for an answer is over.
    #[error(
        "the answer took longer than it may; narrow the filter, by `received` first, or allow more time with \
         limits.answer_time_max"
    )]
    Late,
    /// The answer needs more events to be read than may be.
    #[error(
        "the answer needs more than {max} bytes of events to be read; narrow the filter, by `received` first, with \
         fields that have an index, or allow more with limits.answer_bytes_max"
    )]
    TooMuchToRead {
        /// How many may be read.
        max: u64,
    },
}

/// Where an error happened, for those that know only the file.
pub(super) struct Place<'a> {
    pub(super) class: &'a Name,
    pub(super) first: Sequence,
    pub(super) end: Sequence,
}

impl Place<'_> {
    /// What a failed pin means; `None` where the segment was dropped, or is lost and that was accepted, which is
    /// no failure.
    pub(super) fn error(&self, error: PinError) -> Option<ReadError> {
        match error {
            PinError::Dropped | PinError::Lost => None,
            PinError::Io { path, source } => Some(ReadError::Io { path, source }),
            PinError::Damaged { path, offset, reason } => Some(ReadError::DataLoss {
                path,
                offset: offset.0,
                reason,
                class: self.class.clone(),
                first: self.first,
                end: self.end,
            }),
        }
    }
}
