//! The gRPC side: three services, health, reflection.

mod admin;
mod answers;
mod arriving;
mod event;
mod explain;
mod fitting;
mod histogram;
mod query;
mod records;
mod stream;
mod tail;
mod timeline;
mod values;

pub(crate) use records::tail_page;

use crate::{
    connection::{Connection, Door},
    daemon::Daemon,
    refusal::Refusal,
};
use piperoll_format::limits::BATCH_BYTES_MAX;
use piperoll_proto::{
    FILE_DESCRIPTOR_SET,
    raw::{
        admin_service_server::AdminServiceServer, event_service_server::EventServiceServer,
        query_service_server::QueryServiceServer,
    },
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    body::Body,
    server::NamedService,
    service::Routes,
    transport::{Error, Server},
};
use tonic_health::server::{HealthReporter, health_reporter};
use tonic_reflection::server::{Builder as Reflection, Error as ReflectionError};
use tower::util::{MapRequestLayer, MapResponseLayer};

/// Longest request: the longest batch, and the fields beside it.
const REQUEST_BYTES_MAX: usize = BATCH_BYTES_MAX + 4_096;
/// Longest request of the way out: a filter and a position.
const QUESTION_BYTES_MAX: usize = 1 << 20;
/// What callers may send before it is taken from them: of one call, and of all calls of a connection.
#[derive(Clone, Copy)]
struct Windows {
    frame: u32,
    stream: u32,
    connection: u32,
}

// Measured: with the transport's defaults, large batches have half the throughput.
const WIDE: Windows = Windows { frame: 1 << 20, stream: 4 << 20, connection: 16 << 20 };
/// For all connections but a few: thousands of wide ones could fill memory.
const NARROW: Windows = Windows { frame: 16 << 10, stream: 64 << 10, connection: 128 << 10 };
/// Connections with wide windows at one time.
const WIDE_CONNECTIONS_MAX: usize = 8;
/// Calls of one connection at one time.
const CALLS_MAX: u32 = 128;
/// How long a peer that has gone without a word keeps its connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Part of the transport's own refusal of a long message, as the wire has it.
const TOO_LONG: &str = "decoded%20message%20length%20too%20large";
const TOO_LONG_MESSAGE: &str =
    "it has more bytes than a request may have (8 MiB of events, 1 MiB of a question); send fewer at a time";

/// Says which services work.
pub(crate) struct HealthSwitch(HealthReporter);

impl HealthSwitch {
    /// Whether `EventService` takes events.
    pub(crate) async fn events(&self, serving: bool) {
        self.set::<EventServiceServer<event::EventGrpc>>(serving).await;
    }

    /// The daemon is ending.
    pub(crate) async fn all_down(&self) {
        self.all(false).await;
        self.0.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    }

    async fn all(&self, serving: bool) {
        self.set::<EventServiceServer<event::EventGrpc>>(serving).await;
        self.set::<QueryServiceServer<query::QueryGrpc>>(serving).await;
        self.set::<AdminServiceServer<admin::AdminGrpc>>(serving).await;
    }

    async fn set<S: NamedService>(&self, serving: bool) {
        if serving { self.0.set_serving::<S>().await } else { self.0.set_not_serving::<S>().await }
    }
}

/// The services, and the switch of their health.
pub(crate) async fn services(daemon: &Arc<Daemon>) -> Result<(Routes, HealthSwitch), ReflectionError> {
    let (reporter, health) = health_reporter();
    let switch = HealthSwitch(reporter);
    switch.all(true).await;
    let events = EventServiceServer::new(event::EventGrpc(Arc::clone(daemon)));
    let queries = QueryServiceServer::new(query::QueryGrpc(Arc::clone(daemon)));
    let admin = AdminServiceServer::new(admin::AdminGrpc(Arc::clone(daemon)));
    let routes = Routes::new(health)
        .add_service(events.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(queries.max_decoding_message_size(QUESTION_BYTES_MAX))
        .add_service(admin.max_decoding_message_size(QUESTION_BYTES_MAX))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((routes, switch))
}

/// Everything that is served, the two versions of reflection included.
fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false)
}

/// Serves until the daemon is to end and every call has ended.
pub(crate) async fn serve(daemon: Arc<Daemon>, listener: TcpListener, routes: Routes) -> Result<(), Error> {
    let (wide, wide_connections) = mpsc::channel(1);
    let (narrow, narrow_connections) = mpsc::channel(1);
    let door = Door::grpc(listener, daemon.limits.connections_max.0);
    daemon.tasks.spawn(accept(Arc::clone(&daemon), door, [wide, narrow]));
    let wide = serve_with(WIDE, &daemon, wide_connections, routes.clone());
    let narrow = serve_with(NARROW, &daemon, narrow_connections, routes);
    tokio::try_join!(wide, narrow).map(|((), ())| ())
}

/// Gives connections to the server with wide windows while it has places, and to the other one.
async fn accept(daemon: Arc<Daemon>, door: Door, [wide, narrow]: [mpsc::Sender<Connection>; 2]) {
    let places = Arc::new(Semaphore::new(WIDE_CONNECTIONS_MAX));
    loop {
        let mut connection = tokio::select! {
            () = daemon.stopping.cancelled() => return,
            connection = door.next() => connection,
        };
        connection.share = Arc::clone(&places).try_acquire_owned().ok();
        let server = if connection.share.is_some() { &wide } else { &narrow };
        if server.send(connection).await.is_err() {
            return;
        }
    }
}

async fn serve_with(
    windows: Windows,
    daemon: &Arc<Daemon>,
    connections: mpsc::Receiver<Connection>,
    routes: Routes,
) -> Result<(), Error> {
    let stopping = daemon.stopping.clone().cancelled_owned();
    let room = Arc::clone(&daemon.arriving);
    let arriving = move |request: http::Request<Body>| {
        request.map(|body| Body::new(arriving::Arriving::new(body, Arc::clone(&room))))
    };
    let daemon = Arc::clone(daemon);
    Server::builder()
        .max_frame_size(windows.frame)
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(MapResponseLayer::new(move |response| too_long(&daemon, response)))
        .layer(MapRequestLayer::new(arriving))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections).map(io::Result::Ok), stopping)
        .await
}

/// The transport refuses a message that is too long with `OUT_OF_RANGE`, before any of our code sees it. For a
/// producer that status means something else, a retry that is too old, so it becomes what it is: a bad request.
fn too_long(daemon: &Daemon, response: http::Response<Body>) -> http::Response<Body> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let out_of_range = header("grpc-status") == Some("11");
    if out_of_range && header("grpc-message").is_some_and(|message| message.contains(TOO_LONG)) {
        let status = daemon.refused(Refusal::field("request", TOO_LONG_MESSAGE));
        return status.into_http();
    }
    response
}
