//! The first ceiling: a server that takes the same messages over the same transport, as bytes, and answers each
//! with an empty message at once.

use futures_util::StreamExt as _;
use piperoll_proto::{
    raw::{RawMessage, event_service_server::EventService},
    v1::{AppendResponse, AppendStreamResponse},
};
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Answers and does nothing.
pub(crate) struct Echo;

#[tonic::async_trait]
impl EventService for Echo {
    type AppendStreamStream = Pin<Box<dyn Stream<Item = Result<AppendStreamResponse, Status>> + Send>>;

    async fn append(&self, _: Request<RawMessage>) -> Result<Response<AppendResponse>, Status> {
        Ok(Response::new(AppendResponse::default()))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let answer = |message: Result<RawMessage, Status>| message.map(|_| AppendStreamResponse::default());
        Ok(Response::new(Box::pin(request.into_inner().map(answer))))
    }
}
