//! Following, across lost connections.

use crate::{Client, ClientError, error::Refusal, retry::Retry};
use piperoll_proto::v1::{self, tail_request::Start};
use std::time::Duration;
use tonic::Streaming;

/// Events as they come. When the connection is lost, or the daemon ends the tail because its reader was slow, it
/// goes on from its position: no event is missed and none comes twice.
#[derive(Debug)]
pub struct Tail {
    client: Client,
    request: v1::TailRequest,
    answers: Option<Streaming<v1::TailResponse>>,
    position: String,
    retry: Retry,
}

impl Tail {
    pub(crate) async fn start(
        client: Client,
        request: v1::TailRequest,
        retry_for: Duration,
    ) -> Result<Self, ClientError> {
        let answers = client.tail_stream(request.clone()).await;
        let answers = answers.map_err(|refusal| ClientError::Refused(Box::new(refusal)))?;
        let retry = Retry::new(retry_for);
        Ok(Self { client, request, answers: Some(answers), position: String::new(), retry })
    }

    /// The next answer: some events, or none of them and a new position. Nothing is lost when the future is
    /// dropped before it is ready.
    pub async fn next(&mut self) -> Result<v1::TailResponse, ClientError> {
        loop {
            match self.try_next().await {
                Ok(answer) => {
                    self.retry.succeeded();
                    self.position.clone_from(&answer.position);
                    return Ok(answer);
                }
                Err(refusal) => {
                    self.answers = None;
                    self.retry.failed(refusal).await?;
                }
            }
        }
    }

    /// Where to go on after the last answer; empty before the first.
    pub fn position(&self) -> &str {
        &self.position
    }

    async fn try_next(&mut self) -> Result<v1::TailResponse, Refusal> {
        if self.answers.is_none() {
            let mut request = self.request.clone();
            if !self.position.is_empty() {
                request.start = Some(Start::Position(self.position.clone()));
            }
            self.answers = Some(self.client.tail_stream(request).await?);
        }
        let ended = || tonic::Status::unavailable("the daemon ended the tail");
        let answer = match &mut self.answers {
            Some(answers) => answers.message().await.and_then(|answer| answer.ok_or_else(ended)),
            None => Err(ended()),
        };
        answer.map_err(|status| Refusal::from(&status))
    }
}
