//! Redis Streams: an entry an event, a transaction a batch.

use super::{About, Ingest, Lane, System};
use crate::{http::free_port, place, samples::Sample, server::Server};
use anyhow::{Context as _, Result};
use redis::{AsyncCommands as _, Client, InfoDict, aio::MultiplexedConnection};
use rustix::process::Signal;
use std::{
    collections::HashMap,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

const PROGRAM: &str = "redis-server";
const STREAM: &str = "events";
const FIELD: &str = "event";

/// A running server.
pub(crate) struct Redis {
    server: Server,
    client: Client,
    data: PathBuf,
}

impl System for Redis {
    const NAME: &'static str = "Redis Streams";

    fn missing() -> Option<String> {
        place::program(PROGRAM).is_none().then(|| format!("{PROGRAM} is not on the PATH"))
    }

    async fn start(folder: &Path) -> Result<Self> {
        let (data, port) = (folder.join("data"), free_port()?);
        fs::create_dir(&data)?;
        let mut command = Command::new(PROGRAM);
        command.current_dir(&data).args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        // No snapshots beside the append-only file.
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        let is_ready = || TcpStream::connect(("127.0.0.1", port)).ok().map(drop);
        let (server, ()) = Server::start(command, folder, Signal::TERM, is_ready)?;
        let client = Client::open(("127.0.0.1", port))?;
        Ok(Self { server, client, data })
    }

    async fn about(&self) -> Result<About> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        let info: InfoDict = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let settings: HashMap<String, String> =
            redis::cmd("CONFIG").arg("GET").arg("append*").query_async(&mut connection).await?;
        let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
        let durable = (setting("appendonly"), setting("appendfsync"));
        anyhow::ensure!(durable == ("yes", "always"), "appendonly {}, appendfsync {}", durable.0, durable.1);
        Ok(About {
            version: info.get("redis_version").context("Redis tells no version")?,
            durability: format!("appendonly {}, appendfsync {}", durable.0, durable.1),
            sent: "no snapshots; XADD, a MULTI a batch; 16 connections; all events in memory too, no index"
                .to_owned(),
            asked: String::new(),
        })
    }

    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    async fn stored_bytes(&self) -> Result<u64> {
        place::bytes_below(&self.data)
    }

    fn stop(self) -> Result<()> {
        self.server.stop()
    }
}

impl Ingest for Redis {
    type Batch = redis::Pipeline;
    type Lane = MultiplexedConnection;
    const IN_FLIGHT: usize = 16;

    fn batch(samples: &[Arc<Sample>]) -> redis::Pipeline {
        let mut pipeline = redis::pipe();
        if samples.len() > 1 {
            pipeline.atomic();
        }
        for sample in samples {
            pipeline.cmd("XADD").arg(STREAM).arg("*").arg(FIELD).arg(&*sample.event).ignore();
        }
        pipeline
    }

    async fn lane(&self) -> Result<MultiplexedConnection> {
        Ok(self.client.get_multiplexed_async_connection().await?)
    }

    async fn stored(&self) -> Result<u64> {
        Ok(self.client.get_multiplexed_async_connection().await?.xlen(STREAM).await?)
    }
}

impl Lane<redis::Pipeline> for MultiplexedConnection {
    async fn send(&mut self, batch: &redis::Pipeline) -> Result<()> {
        Ok(batch.exec_async(self).await?)
    }
}
