//! What can go wrong, in the caller's terms.

use std::{fmt, time::Duration};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Trailer in which the daemon tells a tail where it was ended.
const POSITION_METADATA: &str = "piperoll-position";
/// The daemon's word for a question that took too long.
const TOO_LATE: &str = "ANSWER_TOO_LATE";
/// How the transport's message begins where something else than gRPC answered.
const NO_GRPC: &str = "grpc-status header missing";

/// Why a request, a producer or a tail failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// An option that cannot be.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Nobody answers there.
    #[error("cannot reach a piperoll daemon at {endpoint}: {problem}")]
    Connect {
        /// Where.
        endpoint: String,
        /// Why.
        problem: String,
    },
    /// The daemon said no, and would say so again.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Tried again and again for as long as the options say.
    #[error("gave up after {} s without progress; last: {last}", after.as_secs())]
    GaveUp {
        /// How long.
        after: Duration,
        /// The last answer.
        last: Box<Refusal>,
    },
}

/// A request that the daemon, or the connection to it, refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// The reason, in the daemon's words.
    pub message: String,
    /// The daemon's word for the reason, such as `QUEUE_FULL`; empty where none came from it.
    pub reason: String,
    /// Fields of the request that were wrong.
    pub violations: Vec<Violation>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
    /// Where a tail ended.
    pub position: Option<String>,
    /// Which batch of a producer it was.
    pub batch: Option<BatchName>,
}

/// A field that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path in the request, such as `events[3].actor`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A producer's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchName {
    /// The producer.
    pub producer_id: u64,
    /// The batch's number.
    pub sequence: u64,
    /// Events in it.
    pub events: usize,
    /// How many events this producer object was given before the batch's first.
    pub first_event: u64,
}

impl ClientError {
    /// The gRPC status code, where the daemon gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) | Self::GaveUp { last: refusal, .. } => Some(refusal.code),
            Self::Option { .. } | Self::Connect { .. } => None,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(Refusal::from(&status)))
    }
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        // A question that took too long would do so again.
        if self.reason == TOO_LATE {
            return false;
        }
        // A connection that breaks in the middle shows as Unknown, Internal or Cancelled.
        matches!(
            self.code,
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Unknown
                | Code::Internal
        )
    }
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        let violation = |bad: &tonic_types::FieldViolation| Violation {
            field: bad.field.clone(),
            description: bad.description.clone(),
        };
        let position = status.metadata().get(POSITION_METADATA).and_then(|value| value.to_str().ok());
        let mut message = status.message().to_owned();
        if message.starts_with(NO_GRPC) {
            message = format!("what answers there speaks no gRPC; is it the daemon's HTTP port? ({message})");
        }
        Self {
            code: status.code(),
            message,
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            violations: violations.map(violation).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            position: position.map(str::to_owned),
            batch: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(batch) = self.batch {
            let BatchName { sequence, events, first_event, .. } = batch;
            write!(f, "batch {sequence} ({events} events, the first is number {first_event}): ")?;
        }
        let message = if self.message.is_empty() { self.code.description() } else { &self.message };
        write!(f, "{message} ({:?})", self.code)
    }
}
