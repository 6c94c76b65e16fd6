//! The yardstick of a query: a server that gives the same answer from memory.

use crate::ask::Answer;
use piperoll_proto::{
    raw::{GetResponse, QueryResponse, RawMessage, TimelineResponse, query_service_server::QueryService},
    v1::{
        CountRequest, CountResponse, ExplainRequest, ExplainResponse, GetRequest, HistogramRequest,
        HistogramResponse, QueryRequest, TailRequest, TimelineRequest, ValuesRequest, ValuesResponse,
    },
};
use tokio_stream::{Empty, Iter};
use tonic::{Request, Response, Status};

/// An answer that was recorded from the daemon.
pub(crate) struct Echo(pub(crate) Answer);

#[tonic::async_trait]
impl QueryService for Echo {
    type QueryStream = Iter<std::vec::IntoIter<Result<QueryResponse, Status>>>;
    type TimelineStream = Empty<Result<TimelineResponse, Status>>;
    type TailStream = Empty<Result<RawMessage, Status>>;

    async fn query(&self, _: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let answers: Vec<_> = self.0.records.iter().cloned().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(answers)))
    }

    async fn count(&self, _: Request<CountRequest>) -> Result<Response<CountResponse>, Status> {
        Ok(Response::new(self.0.count.clone()))
    }

    async fn values(&self, _: Request<ValuesRequest>) -> Result<Response<ValuesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn histogram(&self, _: Request<HistogramRequest>) -> Result<Response<HistogramResponse>, Status> {
        Ok(Response::new(self.0.histogram.clone()))
    }

    async fn timeline(&self, _: Request<TimelineRequest>) -> Result<Response<Self::TimelineStream>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn tail(&self, _: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}
