//! The real daemon, in this process, with its defaults and what the environment sets
//! (`PIPEROLL_LIMITS__STREAM_REQUESTS_MAX=1024`): the effect of a setting is one run away.

use anyhow::Result;
use piperoll_server::{Config, Overrides, Running, StartOptions, load, start};
use std::{net::SocketAddr, path::Path};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// The program's own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Starts it on `directory`, with `change` made to its settings; its tasks run in `runtime`.
pub(crate) fn start_daemon(
    runtime: &Runtime,
    directory: &Path,
    change: impl FnOnce(&mut Config),
) -> Result<Running> {
    let mut config = load(None, &Overrides::default())?.config;
    directory.clone_into(&mut config.storage.directory);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.server.grpc_listen, config.server.http_listen) = (any, any);
    change(&mut config);
    let options = StartOptions { create_directory: true, ..StartOptions::default() };
    Ok(runtime.block_on(start(config, options))?)
}
