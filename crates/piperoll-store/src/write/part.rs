//! A part: the events of one batch that go to one log, on their way through the engine.

use crate::write::batch::{AddressRange, AppendError, Batch, Classes, Done, Receipt, Sender};
use bytes::Bytes;
use parking_lot::Mutex;
use piperoll_format::envelope::{Envelope, SplitPart};
use piperoll_format::frame::ProducerKey;
use piperoll_format::limits::FRAME_HEADER_BYTES;
use piperoll_format::names::Name;
use piperoll_format::request::CheckedBatch;
use std::sync::Arc;

/// Names a producer within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProducerName {
    pub(crate) principal: Arc<str>,
    pub(crate) id: u64,
}

/// Who hears of the outcome of a part.
pub(crate) enum Finish {
    /// The sender of a batch without a producer.
    Plain(Done),
    /// Whoever waits in the tenant's table of producers.
    Keyed(ProducerName, u64),
    /// The other parts of the batch first.
    Split(Arc<SplitFinish>),
}

/// What is known of a batch whose parts go to several logs; it is acknowledged when all are durable (R3).
pub(crate) struct SplitFinish {
    state: Mutex<SplitState>,
}

struct SplitState {
    remaining: usize,
    ranges: Vec<AddressRange>,
    failed: Option<AppendError>,
    finish: Option<Finish>,
}

impl SplitFinish {
    /// A batch of `remaining` parts that are not stored yet, and of `ranges` that are.
    pub(crate) fn new(remaining: usize, ranges: Vec<AddressRange>, finish: Finish) -> Arc<Self> {
        let state = SplitState { remaining, ranges, failed: None, finish: Some(finish) };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Takes the outcome of one part; the last one gives the outcome of all.
    pub(crate) fn part(
        &self,
        outcome: Result<AddressRange, AppendError>,
    ) -> Option<(Finish, Result<Receipt, AppendError>)> {
        let mut state = self.state.lock();
        state.remaining = state.remaining.saturating_sub(1);
        match outcome {
            Ok(range) => state.ranges.push(range),
            Err(error) => state.failed = Some(error),
        }
        if state.remaining > 0 {
            return None;
        }
        let finish = state.finish.take()?;
        let mut ranges = std::mem::take(&mut state.ranges);
        ranges.sort_by(|a, b| a.class.cmp(&b.class));
        let outcome = state.failed.take().map_or(Ok(Receipt { ranges, repeated: false }), Err);
        Some((finish, outcome))
    }
}

/// The events of one batch that go to one log.
pub(crate) struct Part {
    pub(crate) finish: Finish,
    /// Encoded envelope.
    pub(crate) envelope: Bytes,
    pub(crate) principal: Arc<str>,
    pub(crate) producer: Option<ProducerKey>,
    pub(crate) events: u32,
    /// Runs of the client's bytes.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) payload_bytes: u32,
    /// Positions in the batch; empty for all.
    pub(crate) positions: Vec<u32>,
}

impl Part {
    /// Most bytes that it takes as a frame of its own or as a message of another.
    pub(crate) fn bound(&self) -> u64 {
        let rest = self.envelope.len() as u64 + u64::from(self.payload_bytes);
        FRAME_HEADER_BYTES + 16 + rest
    }

    /// Whose it is: a producer's, whose numbers may come by several connections, or else a connection's. Two that are
    /// taken for one share a turn, nothing else.
    pub(crate) fn sender(&self) -> u64 {
        self.producer.map_or_else(|| Arc::as_ptr(&self.principal).addr() as u64, |producer| producer.id)
    }

    /// True for a part of a split, which never shares a frame.
    pub(crate) fn is_split(&self) -> bool {
        !self.positions.is_empty()
    }
}

/// What goes to which class.
pub(crate) struct Route {
    pub(crate) class: Name,
    /// Positions in the batch; empty for all.
    pub(crate) positions: Vec<u32>,
}

/// Sorts the events of a batch by class; one class or several, in the order of their names.
pub(crate) fn routes(batch: &Batch) -> Result<Vec<Route>, AppendError> {
    let count = batch.request.spans.len();
    if count == 0 {
        return Err(AppendError::Refused("it has no events".to_owned()));
    }
    let (classes, of_event) = match &batch.classes {
        Classes::One(class) => {
            return Ok(vec![Route { class: class.clone(), positions: Vec::new() }]);
        }
        Classes::Each { classes, of_event } => (classes, of_event),
    };
    if of_event.len() != count {
        let text = format!("it has {count} events and {} classes for them", of_event.len());
        return Err(AppendError::Refused(text));
    }
    let mut routes: Vec<Route> = Vec::new();
    for (position, &class) in (0_u32..).zip(of_event) {
        let Some(class) = classes.get(usize::from(class)) else {
            return Err(AppendError::Refused(format!("event {position} has no class")));
        };
        match routes.iter_mut().find(|route| route.class == *class) {
            Some(route) => route.positions.push(position),
            None => routes.push(Route { class: class.clone(), positions: vec![position] }),
        }
    }
    if let [only] = routes.as_mut_slice() {
        only.positions.clear();
    }
    routes.sort_by(|a, b| a.class.cmp(&b.class));
    Ok(routes)
}

/// The envelope of each part of a batch that goes to several classes; it names the whole split.
pub(crate) fn split_envelope(sender: &Sender, routes: &[Route]) -> Bytes {
    let split = routes
        .iter()
        .map(|route| SplitPart { class: route.class.clone(), positions: route.positions.clone() })
        .collect();
    let mut encoded = Vec::new();
    Envelope { split, ..sender.envelope().clone() }.encode(&mut encoded);
    encoded.into()
}

/// The bytes of the events at `positions`, in runs as long as the batch allows; `None` when there are fewer.
pub(crate) fn cut(request: &CheckedBatch, positions: &[u32]) -> Option<Vec<Bytes>> {
    if positions.is_empty() {
        return Some(vec![request.payload.clone()]);
    }
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for &position in positions {
        let field = request.spans.get(usize::try_from(position).ok()?)?.field_range();
        match runs.last_mut() {
            Some(run) if run.end == field.start => run.end = field.end,
            _ => runs.push(field),
        }
    }
    runs.into_iter()
        .map(|run| (run.end <= request.payload.len()).then(|| request.payload.slice(run)))
        .collect()
}
