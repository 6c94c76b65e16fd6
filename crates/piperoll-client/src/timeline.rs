//! The answer to a timeline, some events at a time.

use crate::ClientError;
use piperoll_proto::v1::{self, TimelineLimit};
use tonic::Streaming;

/// The events that touched something, oldest first, and why each of them is there.
#[derive(Debug)]
pub struct Timeline {
    answers: Streaming<v1::TimelineResponse>,
    limits_reached: Vec<TimelineLimit>,
}

impl Timeline {
    pub(crate) fn new(answers: Streaming<v1::TimelineResponse>) -> Self {
        Self { answers, limits_reached: Vec::new() }
    }

    /// The next events, as many as came together; None after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<v1::TimelineEntry>>, ClientError> {
        let Some(answer) = self.answers.message().await? else { return Ok(None) };
        self.limits_reached = answer.limits_reached().collect();
        Ok(Some(answer.entries))
    }

    /// What stopped the search before everything was found, none where it was; meaningful after the first events.
    pub fn limits_reached(&self) -> &[TimelineLimit] {
        &self.limits_reached
    }
}
