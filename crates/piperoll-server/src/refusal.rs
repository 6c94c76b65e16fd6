//! What a request gets that is refused: a status with google.rpc details, and a reason to count it under.

use crate::engine::EngineError;
use piperoll_filter::ParseError;
use piperoll_format::{names::NameError, request::BatchError};
use piperoll_store::{AppendError, ClockError, LossError, PositionError, ReadError};
use std::{collections::HashMap, fmt, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Whose reasons they are, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "piperoll";
/// When to come back to a queue that is full: a group or two later.
const FULL_RETRY: Duration = Duration::from_millis(50);
/// When to come back to a disk that is full.
const NO_SPACE_RETRY: Duration = Duration::from_secs(5);
/// Trailer that tells a tail where it was ended.
const POSITION_METADATA: &str = "piperoll-position";
/// Positions of very many logs are longer than some peers accept in a trailer.
const POSITION_METADATA_BYTES_MAX: usize = 4_096;

/// Longest message, in bytes: it is sent three times, escaped, in headers of which peers take 16 KiB.
const MESSAGE_BYTES_MAX: usize = 1_500;

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// For `piperoll_refusals_total`, and in capitals for `google.rpc.ErrorInfo`.
    pub(crate) reason: &'static str,
    code: Code,
    message: String,
    details: Box<ErrorDetails>,
    position: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let details = ErrorDetails::with_error_info(reason.to_uppercase(), DOMAIN, HashMap::new());
        Self { reason, code, message: short(message.into()), details: Box::new(details), position: None }
    }

    /// The request's `field` is wrong.
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let (field, problem) = (short(field.into()), short(problem.into()));
        let mut refusal = Self::new(Code::InvalidArgument, "bad_request", format!("{field}: {problem}"));
        refusal.details.add_bad_request_violation(field, problem);
        refusal
    }

    /// Too much at one time; worth another try.
    pub(crate) fn overload(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, reason, message).retry_in(FULL_RETRY)
    }

    /// The daemon is ending.
    pub(crate) fn stopping() -> Self {
        Self::new(Code::Unavailable, "shutting_down", "the daemon is shutting down; go on when it is back")
    }

    /// A mistake of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "internal", message)
    }

    /// Tells where to go on.
    pub(crate) fn at_position(mut self, position: String) -> Self {
        self.position = Some(position);
        self
    }

    fn retry_in(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }
}

/// The message, or its beginning: what a request says may stand in it.
fn short(mut message: String) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    if end < message.len() {
        message.truncate(end);
        message.push('…');
    }
    message
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut status = Self::with_error_details(refusal.code, refusal.message, *refusal.details);
        let position = refusal.position.filter(|position| position.len() <= POSITION_METADATA_BYTES_MAX);
        if let Some(value) = position.and_then(|position| position.parse().ok()) {
            status.metadata_mut().insert(POSITION_METADATA, value);
        }
        status
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match &error {
            BatchError::Event { index, source } if source.field.is_empty() => {
                Self::field(format!("events[{index}]"), source.reason.to_string())
            }
            BatchError::Event { index, source } => {
                Self::field(format!("events[{index}].{}", source.field), source.reason.to_string())
            }
            BatchError::Empty | BatchError::TooManyEvents | BatchError::TooLong(_) => {
                Self::field("events", error.to_string())
            }
            BatchError::Producer { .. } => Self::field("producer_sequence", error.to_string()),
            BatchError::Malformed { .. }
            | BatchError::WireType { .. }
            | BatchError::Duplicate(_)
            | BatchError::UnknownField(_) => Self::field("request", error.to_string()),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let (code, reason) = match &error {
            AppendError::Full { .. } => (Code::ResourceExhausted, "queue_full"),
            AppendError::NoSpace { .. } => (Code::ResourceExhausted, "no_space"),
            AppendError::ReadOnly { .. } => (Code::FailedPrecondition, "read_only"),
            AppendError::ClockNotBelieved { .. } => (Code::FailedPrecondition, "clock_not_believed"),
            AppendError::TooManyLogs { .. } => (Code::FailedPrecondition, "too_many_logs"),
            AppendError::Stopped { .. } => (Code::Unavailable, "stopped"),
            AppendError::ShuttingDown => (Code::Unavailable, "shutting_down"),
            AppendError::AlreadyExists { .. } => (Code::AlreadyExists, "retry_differs"),
            AppendError::OutOfRange { .. } => (Code::OutOfRange, "retry_too_old"),
            AppendError::Unknown { .. } => (Code::DataLoss, "data_loss"),
            AppendError::Refused(_) => (Code::Internal, "internal"),
        };
        let refusal = Self::new(code, reason, error.to_string());
        match error {
            AppendError::Full { .. } => refusal.retry_in(FULL_RETRY),
            AppendError::NoSpace { .. } => refusal.retry_in(NO_SPACE_RETRY),
            _ => refusal,
        }
    }
}

impl From<ClockError> for Refusal {
    fn from(error: ClockError) -> Self {
        let reason = match error {
            ClockError::Believed => "clock_believed",
            ClockError::Changed { .. } => "clock_changed",
        };
        Self::new(Code::FailedPrecondition, reason, error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::DataLoss { .. } | ReadError::Lost { .. } | ReadError::Io { .. } => {
                Self::new(Code::DataLoss, "data_loss", message)
            }
            ReadError::Position(error) => error.into(),
            ReadError::NotFound { .. } => Self::new(Code::NotFound, "not_found", message),
            ReadError::Dropped { .. } => Self::new(Code::NotFound, "dropped", message),
            ReadError::NotCountedBy(..) => Self::field("group_by", message),
            ReadError::TooManyGroups { .. } => {
                Self::new(Code::FailedPrecondition, "too_many_groups", message)
            }
            ReadError::NotListed(..) => Self::field("field", message),
            ReadError::TooManyValues { .. } => {
                Self::new(Code::FailedPrecondition, "too_many_values", message)
            }
            ReadError::TooManyToRead { .. } => {
                Self::new(Code::FailedPrecondition, "too_many_to_read", message)
            }
            ReadError::Late => Self::new(Code::DeadlineExceeded, "answer_too_late", message),
            ReadError::TooMuchToRead { .. } => {
                Self::new(Code::FailedPrecondition, "too_much_to_read", message)
            }
            ReadError::Cancelled => Self::new(Code::Cancelled, "cancelled", message),
        }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let (code, reason) = match &error {
            EngineError::Seal(_) => (Code::FailedPrecondition, "not_sealed"),
            EngineError::ClockNotBelieved { .. } => (Code::FailedPrecondition, "clock_not_believed"),
            EngineError::Sweep { .. } | EngineError::List(_) => (Code::Unavailable, "not_swept"),
            EngineError::Loss(error) => loss_code(error),
            EngineError::Unusable(_)
            | EngineError::Io(_)
            | EngineError::Open(_)
            | EngineError::Name(_)
            | EngineError::Audit(_)
            | EngineError::Round(_)
            | EngineError::Directory(_) => (Code::Internal, "internal"),
        };
        Self::new(code, reason, error.to_string())
    }
}

fn loss_code(error: &LossError) -> (Code, &'static str) {
    match error {
        LossError::NoLog(..) => (Code::NotFound, "not_found"),
        LossError::Healthy(..) | LossError::Nothing(..) => (Code::FailedPrecondition, "nothing_lost"),
        LossError::Changed(_) => (Code::FailedPrecondition, "loss_changed"),
        LossError::Nameless(..) | LossError::Unreadable(_) => (Code::DataLoss, "data_loss"),
        LossError::Stopped(..) => (Code::Unavailable, "stopped"),
        LossError::Io { .. } => (Code::Unavailable, "loss_not_written"),
    }
}

impl From<PositionError> for Refusal {
    fn from(error: PositionError) -> Self {
        Self::field("position", error.to_string())
    }
}

/// What is wrong with a filter, over several lines with a caret.
pub(crate) fn bad_filter(error: &ParseError) -> Refusal {
    let mut refusal = Refusal::field("filter", error.to_string());
    refusal.message = format!("filter: {}", error.render());
    refusal
}

/// A tenant that is no name.
pub(crate) fn bad_tenant(text: &str, error: &NameError) -> Refusal {
    Refusal::field(
        piperoll_proto::TENANT_METADATA,
        format!("`{}` is no tenant: {error}", text.escape_debug()),
    )
}
