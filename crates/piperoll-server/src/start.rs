//! From settings to a running daemon, and to its end.

use crate::{
    config::{Config, ServerConfig},
    connection::Door,
    daemon::Daemon,
    engine::EngineError,
    grpc, http, jobs, live,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long calls that run may take to end; with [`STORE_STOP_MAX`] below the 5 s that a stop may take (R38).
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long the store may take to end.
const STORE_STOP_MAX: Duration = Duration::from_millis(2_500);

/// Connections that may wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4_096;

/// What is allowed beyond the settings: not written down in a file, so that it is said at each start.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// Listen on other than loopback addresses, where anybody may append, read and sweep.
    pub insecure_listen: bool,
    /// Make the data directory where it is missing or empty; the directory that it lies in must be there.
    pub create_directory: bool,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can be reached from other machines.
    #[error(
        "{key} = {address} can be reached from other machines, and this daemon knows no identities yet: anybody \
         could write, read and sweep. Listen on 127.0.0.1, or say --insecure-listen"
    )]
    Insecure {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}{hint}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The data directory cannot be used.
    #[error("cannot open {}: {source}", directory.display())]
    Open {
        /// The directory.
        directory: std::path::PathBuf,
        /// Why.
        source: EngineError,
    },
    /// The logs cannot be set up.
    #[error("log.level = `{level}`: {problem}")]
    Logging {
        /// The setting.
        level: String,
        /// What is wrong.
        problem: String,
    },
    /// A mistake of ours.
    #[error("{0}")]
    Internal(String),
}

/// Why the daemon ended otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener failed.
    #[error("{listener} failed: {problem}")]
    Listener {
        /// Which one.
        listener: &'static str,
        /// Why.
        problem: String,
    },
    /// The store did not end in time; what was acknowledged is durable all the same.
    #[error("the store did not end within {} ms", STORE_STOP_MAX.as_millis())]
    Stuck,
    /// The store could not write its last marks; what was acknowledged is durable all the same.
    #[error("the store ended with an error: {0}")]
    Store(String),
}

/// A running daemon.
pub struct Running {
    /// Where it serves gRPC.
    pub grpc_address: SocketAddr,
    /// Where it serves HTTP.
    pub http_address: SocketAddr,
    /// What opening the data directory found, in one line.
    pub recovery: String,
    daemon: Arc<Daemon>,
    parts: JoinSet<Result<(), ServeError>>,
}

/// Asks a daemon to stop; clones ask the same one.
#[derive(Clone, Debug)]
pub struct Stopper(CancellationToken);

impl Stopper {
    /// Asks; [`Running::wait`] returns when it is done.
    pub fn stop(&self) {
        self.0.cancel();
    }
}

/// Starts a daemon in the current Tokio runtime. When this returns it serves.
pub async fn start(config: Config, options: StartOptions) -> Result<Running, StartError> {
    check_listen(&config.server, options)?;
    let grpc_listener = listen("server.grpc_listen", config.server.grpc_listen)?;
    let http_listener = listen("server.http_listen", config.server.http_listen)?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(|error| internal(&error));
    let (grpc_address, http_address) = (address(&grpc_listener)?, address(&http_listener)?);
    let sweep_interval = config.retention.sweep_interval.0;
    let daemon = open(config, options.create_directory).await?;
    let (services, switch) = grpc::services(&daemon).await.map_err(|error| internal(&error))?;

    let mut parts = JoinSet::new();
    parts.spawn(serve_grpc(Arc::clone(&daemon), grpc_listener, services));
    parts.spawn(serve_http(Arc::clone(&daemon), http_listener));
    daemon.tasks.spawn(jobs::sweep(Arc::clone(&daemon), sweep_interval));
    daemon.tasks.spawn(jobs::health(Arc::clone(&daemon), switch));
    daemon.tasks.spawn(live::run(Arc::clone(&daemon)));
    let recovery = daemon.engine.recovery();
    tracing::info!(grpc = %grpc_address, http = %http_address, %recovery, "serving");
    Ok(Running { grpc_address, http_address, recovery, daemon, parts })
}

impl Running {
    /// What can stop it from elsewhere, such as from a handler of signals.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.daemon.stopping.clone())
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.daemon.stopping.cancel();
        self.wait().await
    }

    /// Waits until it is asked to stop, or a part of it fails, and then until it has ended: nothing more is
    /// accepted, what waits is synced and acknowledged, calls have ended. At most 5 s.
    pub async fn wait(mut self) -> Result<(), ServeError> {
        let mut ended = Ok(());
        tokio::select! {
            () = self.daemon.stopping.cancelled() => {}
            part = self.parts.join_next() => ended = outcome(part),
        }
        tracing::info!("stopping");
        self.daemon.stopping.cancel();
        let drained = timeout(DRAIN_MAX, drain(&self.daemon, &mut self.parts)).await;
        if drained.is_err() {
            tracing::warn!("calls that did not end are cut off");
            self.parts.abort_all();
        }
        let stopped = close_store(self.daemon).await;
        let ended = ended.and(drained.unwrap_or(Ok(()))).and(stopped);
        tracing::info!(ok = ended.is_ok(), "stopped");
        ended
    }
}

async fn drain(daemon: &Daemon, parts: &mut JoinSet<Result<(), ServeError>>) -> Result<(), ServeError> {
    let mut ended = Ok(());
    while let Some(part) = parts.join_next().await {
        ended = ended.and(outcome(Some(part)));
    }
    daemon.tasks.close();
    daemon.tasks.wait().await;
    ended
}

async fn close_store(daemon: Arc<Daemon>) -> Result<(), ServeError> {
    let closing = tokio::task::spawn_blocking(move || daemon.engine.close());
    match timeout(STORE_STOP_MAX, closing).await {
        Ok(Ok(closed)) => closed.map_err(|error| ServeError::Store(error.to_string())),
        Ok(Err(error)) => Err(ServeError::Store(error.to_string())),
        Err(_) => Err(ServeError::Stuck),
    }
}

fn outcome(part: Option<Result<Result<(), ServeError>, tokio::task::JoinError>>) -> Result<(), ServeError> {
    match part {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(ServeError::Listener { listener: "a listener", problem: error.to_string() }),
        None => Ok(()),
    }
}

async fn serve_grpc(
    daemon: Arc<Daemon>,
    listener: TcpListener,
    services: tonic::service::Routes,
) -> Result<(), ServeError> {
    let served = grpc::serve(daemon, listener, services).await;
    served.map_err(|error| ServeError::Listener { listener: "the gRPC listener", problem: error.to_string() })
}

async fn serve_http(daemon: Arc<Daemon>, listener: TcpListener) -> Result<(), ServeError> {
    let stopping = daemon.stopping.clone().cancelled_owned();
    let served =
        axum::serve(Door::http(listener), http::routes(daemon)).with_graceful_shutdown(stopping).await;
    served.map_err(|error| ServeError::Listener { listener: "the HTTP listener", problem: error.to_string() })
}

async fn open(config: Config, create: bool) -> Result<Arc<Daemon>, StartError> {
    let directory = config.storage.directory.clone();
    let opened = tokio::task::spawn_blocking(move || Daemon::open(&config, create)).await;
    opened.map_err(|error| internal(&error))?.map_err(|source| StartError::Open { directory, source })
}

fn check_listen(server: &ServerConfig, options: StartOptions) -> Result<(), StartError> {
    let addresses = [("server.grpc_listen", server.grpc_listen), ("server.http_listen", server.http_listen)];
    match addresses.into_iter().find(|(_, address)| !address.ip().is_loopback()) {
        Some((key, address)) if !options.insecure_listen => Err(StartError::Insecure { key, address }),
        _ => Ok(()),
    }
}

/// A fleet that comes back all at once waits in the backlog; the standard library's is 128.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart does not wait for the connections of the process before it to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    bind(address).map_err(|source| {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => "; something else listens there: stop it, or choose another port",
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 are not for everybody: choose another port"
            }
            _ => "",
        };
        StartError::Listen { key, address, source, hint }
    })
}

fn internal(error: &dyn std::error::Error) -> StartError {
    StartError::Internal(error.to_string())
}
