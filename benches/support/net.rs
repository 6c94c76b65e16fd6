//! Runtimes, and connections to servers with the daemon's own windows.

use anyhow::Result;
use std::net::SocketAddr;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

// The daemon's.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A runtime whose threads are called `name`, so that their processor time can be told apart.
pub(crate) fn runtime(name: &str) -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build()?)
}

/// Connects as the project's client does.
pub(crate) async fn connect(address: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    Ok(endpoint.connect().await?)
}
