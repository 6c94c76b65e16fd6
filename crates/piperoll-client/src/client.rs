//! Requests with one answer, and the doors to those with many.

use crate::{ClientError, ClientOptions, Producer, ProducerOptions, Query, Tail, Timeline, error::Refusal};
use piperoll_proto::{
    TENANT_METADATA,
    raw::{RawMessage, event_service_client::EventServiceClient as RawEventServiceClient},
    v1::{
        self, admin_service_client::AdminServiceClient, event_service_client::EventServiceClient,
        query_service_client::QueryServiceClient,
    },
};
use std::time::Duration;
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

// As wide as the daemon's, so that large batches do not wait for window updates.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A connection to a daemon, for one tenant. Clones share it, and it comes back by itself when it breaks.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    tenant: MetadataValue<Ascii>,
    retry_for: Duration,
}

impl Client {
    /// Connects.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        check_endpoint(&options.endpoint)?;
        let endpoint = options.endpoint.clone();
        let wrong = |error: &dyn std::error::Error| ClientError::Connect {
            endpoint: endpoint.clone(),
            problem: with_sources(error),
        };
        let tenant = options.tenant.parse().map_err(|_| ClientError::Option {
            option: "tenant",
            problem: format!("`{}` cannot be sent as request metadata", options.tenant),
        })?;
        let channel = Endpoint::from_shared(options.endpoint.clone())
            .map_err(|error| wrong(&error))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .connect()
            .await
            .map_err(|error| wrong(&error))?;
        Ok(Self { channel, tenant, retry_for: options.retry_for })
    }

    /// Appends one batch, and returns when it is durable. It is not tried again: who needs that takes a
    /// [`Producer`].
    pub async fn append(&self, events: Vec<v1::Event>) -> Result<v1::AppendResponse, ClientError> {
        let request = v1::AppendRequest { events, producer_id: 0, producer_sequence: 0 };
        let answer = EventServiceClient::new(self.channel.clone()).append(self.request(request)).await?;
        Ok(answer.into_inner())
    }

    /// Begins to send events. Its work is done in a task of the current Tokio runtime.
    pub fn producer(&self, options: ProducerOptions) -> Result<Producer, ClientError> {
        Producer::start(self.clone(), options)
    }

    /// Finds events.
    pub async fn query(&self, request: v1::QueryRequest) -> Result<Query, ClientError> {
        let answers = self.queries().query(self.request(request)).await?;
        Ok(Query::new(answers.into_inner()))
    }

    /// Counts events.
    pub async fn count(&self, request: v1::CountRequest) -> Result<v1::CountResponse, ClientError> {
        Ok(self.queries().count(self.request(request)).await?.into_inner())
    }

    /// Tells how a query or a count is answered.
    pub async fn explain(
        &self,
        question: v1::explain_request::Question,
    ) -> Result<v1::ExplainResponse, ClientError> {
        let request = v1::ExplainRequest { question: Some(question) };
        Ok(self.queries().explain(self.request(request)).await?.into_inner())
    }

    /// Lists the values that a field has.
    pub async fn values(&self, request: v1::ValuesRequest) -> Result<v1::ValuesResponse, ClientError> {
        Ok(self.queries().values(self.request(request)).await?.into_inner())
    }

    /// Counts events over time.
    pub async fn histogram(
        &self,
        request: v1::HistogramRequest,
    ) -> Result<v1::HistogramResponse, ClientError> {
        Ok(self.queries().histogram(self.request(request)).await?.into_inner())
    }

    /// Tells everything that ever touched an artifact, a run or a commit.
    pub async fn timeline(&self, request: v1::TimelineRequest) -> Result<Timeline, ClientError> {
        let answers = self.queries().timeline(self.request(request)).await?;
        Ok(Timeline::new(answers.into_inner()))
    }

    /// Fetches one event by its address, `class@sequence` or `tenant/class@sequence`.
    pub async fn get(&self, address: &str) -> Result<v1::EventRecord, ClientError> {
        let request = v1::GetRequest { address: address.to_owned() };
        let answer = self.queries().get(self.request(request)).await?.into_inner();
        answer.record.ok_or_else(|| Status::internal("the daemon's answer holds no event").into())
    }

    /// Follows events.
    pub async fn tail(&self, request: v1::TailRequest) -> Result<Tail, ClientError> {
        Tail::start(self.clone(), request, self.retry_for).await
    }

    /// Tells what the daemon has and does.
    pub async fn status(&self) -> Result<v1::StatusResponse, ClientError> {
        Ok(self.admin().status(self.request(v1::StatusRequest {})).await?.into_inner())
    }

    /// Rolls active segments, and returns when they are sealed.
    pub async fn seal(&self, request: v1::SealRequest) -> Result<v1::SealResponse, ClientError> {
        Ok(self.admin().seal(self.request(request)).await?.into_inner())
    }

    /// Drops expired segments; with `dry_run` only tells which.
    pub async fn sweep(&self, dry_run: bool) -> Result<v1::SweepResponse, ClientError> {
        Ok(self.admin().sweep(self.request(v1::SweepRequest { dry_run })).await?.into_inner())
    }

    /// Tells what is lost of a log that damage made read-only; with the roots of what was told, accepts it.
    pub async fn accept_loss(
        &self,
        request: v1::AcceptLossRequest,
    ) -> Result<v1::AcceptLossResponse, ClientError> {
        Ok(self.admin().accept_loss(self.request(request)).await?.into_inner())
    }

    /// Tells what the clock shows and what is believed of it.
    pub async fn clock_status(&self) -> Result<v1::ClockStatusResponse, ClientError> {
        Ok(self.admin().clock_status(self.request(v1::ClockStatusRequest {})).await?.into_inner())
    }

    /// Has the daemon believe its clock, which was seen to show `seen`.
    pub async fn accept_clock(
        &self,
        seen: prost_types::Timestamp,
    ) -> Result<v1::AcceptClockResponse, ClientError> {
        let request = v1::AcceptClockRequest { seen: Some(seen) };
        Ok(self.admin().accept_clock(self.request(request)).await?.into_inner())
    }

    pub(crate) async fn append_stream(
        &self,
        requests: impl tokio_stream::Stream<Item = RawMessage> + Send + 'static,
    ) -> Result<Streaming<v1::AppendStreamResponse>, Refusal> {
        let mut client = RawEventServiceClient::new(self.channel.clone());
        let answers = client.append_stream(self.request(requests)).await;
        answers.map(tonic::Response::into_inner).map_err(|status| Refusal::from(&status))
    }

    pub(crate) async fn tail_stream(
        &self,
        request: v1::TailRequest,
    ) -> Result<Streaming<v1::TailResponse>, Refusal> {
        let answers = self.queries().tail(self.request(request)).await;
        answers.map(tonic::Response::into_inner).map_err(|status| Refusal::from(&status))
    }

    fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone())
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(TENANT_METADATA, self.tenant.clone());
        request
    }
}

/// Without TLS, an `https` that is tolerated would be a promise that nobody keeps.
fn check_endpoint(endpoint: &str) -> Result<(), ClientError> {
    let problem = match endpoint.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => return Ok(()),
        Some((scheme, rest)) => {
            format!("`{scheme}` is not spoken, TLS is not there yet; write http://{rest}")
        }
        None => format!("write http://{endpoint}"),
    };
    Err(ClientError::Option { option: "endpoint", problem })
}

/// An error and what caused it: the transport's own text is only "transport error".
fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
