//! Piperoll: the released program with its defaults, over gRPC.

use super::{About, Asked, Ingest, Lane, System};
use crate::{
    clock::now,
    http, place,
    questions::{
        Input,
        answer::Answer,
        ask::{Ask, Form},
    },
    row::Row,
    samples::{Sample, encoded, events},
    server::Server,
};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use piperoll_client::{Client, ClientOptions, ProducerOptions};
use piperoll_proto::{
    raw::{RawMessage, event_service_client::EventServiceClient},
    v1::{CountRequest, CountResponse, Event, QueryRequest, SealRequest},
};
use rustix::process::Signal;
use serde::Deserialize;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tonic::transport::{Channel, Endpoint};

const CONNECTIONS: usize = 2;
// As the project's client has them.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The tenant whose one event shows that an ack follows a sync.
const PROBE: &str = "probe";
const SYNCS: &str = "piperoll_sync_duration_seconds_count";

/// A running daemon.
pub(crate) struct Piperoll {
    server: Server,
    http: SocketAddr,
    endpoint: String,
    client: Client,
    channels: Vec<Channel>,
    lanes: AtomicUsize,
    data: PathBuf,
    bytes_at_start: u64,
}

#[derive(Deserialize)]
struct Ready {
    grpc: String,
    http: String,
}

/// The program that `benches/compare/run` has built.
fn binary() -> PathBuf {
    place::target().join("release/piperoll")
}

impl System for Piperoll {
    const NAME: &'static str = "piperoll";

    fn missing() -> Option<String> {
        (!binary().is_file()).then(|| "`cargo build --release` has not been run".to_owned())
    }

    async fn start(folder: &Path) -> Result<Self> {
        let ready_file = folder.join("ready.json");
        let mut command = Command::new(binary());
        command
            .current_dir(folder)
            .args(["serve", "--init", "--directory", "data"])
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready_file);
        let is_ready = || serde_json::from_str::<Ready>(&fs::read_to_string(&ready_file).ok()?).ok();
        let (server, ready) = Server::start(command, folder, Signal::TERM, is_ready)?;
        let endpoint = Endpoint::from_shared(ready.grpc.clone())?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint.connect().await?);
        }
        let data = folder.join("data");
        Ok(Self {
            server,
            http: ready.http.trim_start_matches("http://").parse()?,
            client: Client::connect(ClientOptions::new(ready.grpc.clone())).await?,
            endpoint: ready.grpc,
            channels,
            lanes: AtomicUsize::new(0),
            bytes_at_start: place::bytes_below(&data)?,
            data,
        })
    }

    async fn about(&self) -> Result<About> {
        let version = Command::new(binary()).arg("--version").output()?;
        let mut options = ClientOptions::new(self.endpoint.clone());
        PROBE.clone_into(&mut options.tenant);
        let probe = Client::connect(options).await?;
        let before = self.metric(SYNCS)?;
        let text = |word: &str| Some(word.to_owned());
        let event = Event { actor: text(PROBE), action: text(PROBE), ..Event::default() };
        probe.append(vec![event]).await?;
        let syncs = self.metric(SYNCS)? - before;
        anyhow::ensure!(syncs >= 1.0, "an append was acknowledged without a sync");
        Ok(About {
            version: String::from_utf8(version.stdout)?.trim().replace("piperoll ", ""),
            durability: format!("{SYNCS} rose by {syncs} with one append; no setting changes that"),
            sent: "defaults; unary Append over gRPC, 2 connections".to_owned(),
            asked: "defaults; over gRPC; sealed segments".to_owned(),
        })
    }

    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    async fn stored_bytes(&self) -> Result<u64> {
        // The active segment has room for what will come; sealed ones have just what they need.
        self.client.seal(SealRequest::default()).await?;
        Ok(place::bytes_below(&self.data)?.saturating_sub(self.bytes_at_start))
    }

    fn stop(self) -> Result<()> {
        self.server.stop()
    }
}

impl Piperoll {
    fn metric(&self, name: &str) -> Result<f64> {
        let page = http::get(self.http, "/metrics")?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }
}

impl Ingest for Piperoll {
    /// The encoded request.
    type Batch = Bytes;
    type Lane = EventServiceClient<Channel>;
    const IN_FLIGHT: usize = 16;

    fn batch(samples: &[Arc<Sample>]) -> Bytes {
        encoded(samples)
    }

    async fn lane(&self) -> Result<Self::Lane> {
        let number = self.lanes.fetch_add(1, Relaxed);
        let channel = self.channels.get(number % CONNECTIONS).context("there are connections")?;
        Ok(EventServiceClient::new(channel.clone()))
    }

    async fn stored(&self) -> Result<u64> {
        Ok(self.client.count(CountRequest::default()).await?.total)
    }
}

impl Lane<Bytes> for EventServiceClient<Channel> {
    async fn send(&mut self, batch: &Bytes) -> Result<()> {
        self.append(RawMessage(batch.clone())).await?;
        Ok(())
    }
}

impl Asked for Piperoll {
    async fn fill(&mut self, input: &Input) -> Result<()> {
        let mut producer = self.client.producer(ProducerOptions::default())?;
        for event in events(input.events) {
            producer.push(&event).await?;
        }
        producer.finish().await?;
        self.client.seal(SealRequest::default()).await?;
        Ok(())
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(Duration, Answer)> {
        let filter = ask.filter();
        let begun = now();
        match ask.form() {
            Form::Events(limit) => {
                let limit = u32::try_from(limit)?;
                let mut found =
                    self.client.query(QueryRequest { filter, limit, ..QueryRequest::default() }).await?;
                let mut records = Vec::new();
                while let Some(record) = found.next().await? {
                    records.push(record);
                }
                let time = begun.elapsed();
                let rows = records.iter().map(|record| Row::of(record.event.as_ref().context("no event")?));
                Ok((time, Answer::of_rows(rows.collect::<Result<Vec<_>>>()?)?))
            }
            Form::Groups(field) => {
                let group_by = vec![field.to_owned()];
                let counted = self.client.count(CountRequest { filter, group_by, limit: 0 }).await?;
                let time = begun.elapsed();
                Ok((time, groups(counted)?))
            }
            Form::Number => {
                let counted = self.client.count(CountRequest { filter, ..CountRequest::default() }).await?;
                Ok((begun.elapsed(), Answer::Number(counted.total)))
            }
        }
    }
}

fn groups(counted: CountResponse) -> Result<Answer> {
    anyhow::ensure!(counted.groups_omitted == 0, "{} groups were left out", counted.groups_omitted);
    let group = |group: piperoll_proto::v1::CountGroup| {
        let value = group.values.into_iter().next().context("a group has a value")?.value;
        Ok((value, group.count))
    };
    counted.groups.into_iter().map(group).collect::<Result<_>>().map(Answer::Groups)
}
