//! Ready and first acknowledgement after SIGKILL, with full active segments; and the memory that a history takes.

use crate::{
    Bench, MIB,
    clock::median,
    fill::fill,
    net::connect,
    process::Process,
    report::{keep, print},
};
use anyhow::Result;
use piperoll_client::{Client, ClientOptions};
use piperoll_proto::v1::{
    AppendRequest, CountRequest, Event, QueryRequest, SealRequest, event_service_client::EventServiceClient,
};
use piperoll_samples::Events;
use prost::Message as _;
use std::{net::SocketAddr, path::Path, time::Duration};

const EVENTS: usize = 1_000_000;
const DAYS: f64 = 30.0;
const SEED: u64 = 5;
const MS_MAX: [f64; 2] = [300.0, 300.0];
const MEMORY_MIB_MAX: [f64; 2] = [256.0, 256.0];
/// Logs whose active segments are full, one after the other.
const FULL_LOGS: [usize; 2] = [1, 16];
/// Bytes of events that nearly fill a segment of 64 MiB; the kills need room for some more.
const FULL_BYTES: usize = 60 << 20;
const KILLS: usize = 7;
/// How long events arrive before a kill.
const LOADED: Duration = Duration::from_millis(200);

/// The default tenant's log gets a history; then it and others are filled, and the daemon is killed and started.
pub(crate) fn case(bench: &Bench) -> Result<()> {
    let count = bench.scale.pick("PIPEROLL_BENCH_EVENTS", EVENTS, 2_000)?;
    let held = tempfile::tempdir_in(&bench.directory)?;
    let mut process = Process::start(held.path())?;
    let watch = process.watch_memory();
    let events = Events::new(SEED, count as u64, DAYS).take(count);
    bench.clients.block_on(fill(process.address, "default", events, (), |(), _| {}))?;
    bench.clients.block_on(seal(process.address))?;
    process.wait_until_quiet()?;
    let filled = watch.most()? as f64 / MIB;

    print(&format!("## Restart after SIGKILL, with a history of {count} events\n"))?;
    print("| full active segments | ready: median | most | first ack: median | most |")?;
    print("|---|---|---|---|---|")?;
    let mut full = 0;
    for logs in FULL_LOGS {
        for log in full..logs {
            bench.clients.block_on(fill_segment(bench, process.address, log))?;
        }
        full = logs;
        restarts(bench, held.path(), &mut process, count, logs)?;
    }

    process.kill()?;
    let process = Process::start(held.path())?;
    let watch = process.watch_memory();
    bench.clients.block_on(ask(process.address))?;
    process.wait_until_quiet()?;
    let asked = watch.most()? as f64 / MIB;
    print(&format!(
        "\nanonymous memory, the most of it: {filled:.0} MiB while {count} events are appended, {asked:.0} MiB \
         after a restart and some questions\n"
    ))?;
    let figure = format!("anonymous memory at {count} events");
    keep(bench.scale, &figure, filled.max(asked), "MiB", MEMORY_MIB_MAX)
}

async fn client(address: SocketAddr) -> Result<Client> {
    Ok(Client::connect(ClientOptions::new(format!("http://{address}"))).await?)
}

async fn seal(address: SocketAddr) -> Result<()> {
    client(address).await?.seal(SealRequest::default()).await?;
    Ok(())
}

/// Nearly fills a segment; the first log is the default tenant's.
async fn fill_segment(bench: &Bench, address: SocketAddr, log: usize) -> Result<()> {
    let tenant = if log == 0 { "default".to_owned() } else { format!("tenant-{log:02}") };
    let bytes_max = if bench.scale.full { FULL_BYTES } else { 100_000 };
    let mut bytes = 0;
    let events = Events::new(SEED + 1 + log as u64, 150_000, DAYS).take_while(move |event| {
        bytes += event.encoded_len();
        bytes < bytes_max
    });
    fill(address, &tenant, events, (), |(), _| {}).await
}

/// Kills it while events arrive, and starts it again.
fn restarts(bench: &Bench, folder: &Path, process: &mut Process, count: usize, logs: usize) -> Result<()> {
    let (mut ready, mut acknowledged) = (Vec::new(), Vec::new());
    let event = Events::new(SEED + 99, 1, DAYS).next().unwrap_or_default();
    for _ in 0..if bench.scale.full { KILLS } else { 1 } {
        let loading = bench.clients.spawn(append_until_killed(process.address, event.clone()));
        std::thread::sleep(LOADED);
        process.kill()?;
        let before = bench.clients.block_on(loading)??;
        anyhow::ensure!(before > 0, "nothing was acknowledged before the kill");
        *process = Process::start(folder)?;
        ready.push(process.ready);
        bench.clients.block_on(append_one(process.address, event.clone()))?;
        acknowledged.push(process.begun.elapsed());
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let most = |times: &[Duration]| ms(times.iter().max().copied().unwrap_or_default());
    let (ready_most, acknowledged_most) = (most(&ready), most(&acknowledged));
    let (ready, acknowledged) = (ms(median(ready)), ms(median(acknowledged)));
    print(&format!(
        "| {logs} | {ready:.1} ms | {ready_most:.1} ms | {acknowledged:.1} ms | {acknowledged_most:.1} ms |"
    ))?;
    let figure = |what: &str| format!("restart after SIGKILL, {count} events, {logs} full segments, {what}");
    keep(bench.scale, &figure("ready"), ready, "ms", MS_MAX)?;
    keep(bench.scale, &figure("first ack"), acknowledged, "ms", MS_MAX)
}

async fn append_one(address: SocketAddr, event: Event) -> Result<()> {
    let mut client = EventServiceClient::new(connect(address).await?);
    client.append(AppendRequest { events: vec![event], ..AppendRequest::default() }).await?;
    Ok(())
}

/// How many were acknowledged.
async fn append_until_killed(address: SocketAddr, event: Event) -> Result<u64> {
    let mut client = EventServiceClient::new(connect(address).await?);
    let request = AppendRequest { events: vec![event], ..AppendRequest::default() };
    let mut count = 0;
    while client.append(request.clone()).await.is_ok() {
        count += 1;
    }
    Ok(count)
}

/// Questions over everything.
async fn ask(address: SocketAddr) -> Result<()> {
    let client = client(address).await?;
    let by = |field: &str| CountRequest { group_by: vec![field.to_owned()], ..CountRequest::default() };
    for field in ["stage", "actor", "repo"] {
        anyhow::ensure!(client.count(by(field)).await?.total > 0, "the history is empty");
    }
    let filter = "stage = deploy-prod".to_owned();
    let mut found = client.query(QueryRequest { filter, ..QueryRequest::default() }).await?;
    while found.next().await?.is_some() {}
    Ok(())
}
