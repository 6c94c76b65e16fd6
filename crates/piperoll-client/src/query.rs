//! The answer to a query, event by event.

use crate::ClientError;
use piperoll_proto::v1;
use tonic::Streaming;

/// The events that a query found, in order.
#[derive(Debug)]
pub struct Query {
    answers: Streaming<v1::QueryResponse>,
    records: std::vec::IntoIter<v1::EventRecord>,
    position: String,
    exhausted: bool,
}

impl Query {
    pub(crate) fn new(answers: Streaming<v1::QueryResponse>) -> Self {
        Self { answers, records: Vec::new().into_iter(), position: String::new(), exhausted: false }
    }

    /// The next events, as many as came together; None after the last. They are never none.
    pub async fn next_together(&mut self) -> Result<Option<Vec<v1::EventRecord>>, ClientError> {
        let Some(first) = self.next().await? else { return Ok(None) };
        let rest = std::mem::take(&mut self.records);
        Ok(Some([first].into_iter().chain(rest).collect()))
    }

    /// The next event; None after the last.
    pub async fn next(&mut self) -> Result<Option<v1::EventRecord>, ClientError> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Some(record));
            }
            let Some(answer) = self.answers.message().await? else { return Ok(None) };
            self.records = answer.records.into_iter();
            self.position = answer.position;
            self.exhausted = answer.exhausted;
        }
    }

    /// Where the answer ended, to go on with the same filter and order; meaningful after the last event.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// Whether there was nothing more to find; meaningful after the last event.
    pub fn exhausted(&self) -> bool {
        self.exhausted
    }
}
