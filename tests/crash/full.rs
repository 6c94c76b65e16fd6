//! Full disks (R13, R15): appends are refused, reads go on, a sweep frees, appends resume by themselves.

use crate::daemon::{Daemon, wait_until};
use crate::program::run;
use crate::senders::events_of;
use crate::volume::Volume;
use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::{AppendRequest, AppendResponse, Event};
use std::io::Write as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Events of `deploy…` stages stay, all others may go after a second.
const CONFIG: &str = r#"
[storage]
segment_bytes_max = "1MiB"
ballast_bytes = "4MiB"

[retention]
default_class = "scratch"
classes = [{ name = "scratch", keep = "1s" }, { name = "deploys", keep = "7y" }]
routes = [{ class = "deploys", stage = "deploy*" }]
sweep_interval = "1h"
"#;

/// Batches of the other tests in one of these, so that a disk is full soon.
const TOGETHER: u64 = 250;

fn large_batch(sequence: u64) -> Vec<Event> {
    (0..TOGETHER).flat_map(|part| events_of(31, 1 + sequence * TOGETHER + part)).collect()
}

struct Sender {
    client: EventServiceClient<Channel>,
    sequence: u64,
}

impl Sender {
    /// Sends the next batch; one that was refused is sent again under its own number.
    async fn send(&mut self) -> Result<AppendResponse, Status> {
        let events = large_batch(self.sequence);
        let request = AppendRequest { events, producer_id: 31, producer_sequence: self.sequence };
        let answer = self.client.append(request).await?;
        self.sequence += 1;
        Ok(answer.into_inner())
    }

    /// Sends until the disk is full, and gives the last address that was acknowledged.
    async fn fill(&mut self) -> (String, Status) {
        let mut last = String::new();
        loop {
            match self.send().await {
                Ok(answer) => {
                    let range = &answer.ranges[0];
                    last = format!("{}@{}", range.class, range.first_sequence);
                }
                Err(status) => return (last, status),
            }
        }
    }
}

/// Takes the room that is left, to the last byte.
fn take_the_rest(volume: &Volume) {
    let mut file = std::fs::File::create(volume.path().join("somebody-else")).unwrap();
    let mut step = vec![7; 1 << 20];
    while !step.is_empty() {
        match file.write(&step) {
            Ok(0) | Err(_) => step.truncate(step.len() / 2),
            Ok(_) => {}
        }
    }
    // What the cache took and the device has no room for shows itself here.
    file.sync_all().ok();
}

async fn a_full_disk(volume: Result<Volume, String>) {
    let volume = match volume {
        Ok(volume) => volume,
        Err(reason) => return println!("skipped, because {reason}"),
    };
    let mut daemon = Daemon::start(&volume.home(), CONFIG, &["--log-level", "warn"]);
    let client = EventServiceClient::connect(daemon.grpc().to_owned()).await.unwrap();
    let mut sender = Sender { client, sequence: 1 };
    let (last, status) = sender.fill().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    tokio::task::block_in_place(|| take_the_rest(&volume));
    let (_, status) = sender.fill().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    // Reads go on, and the daemon is as ready as before.
    let address = last.clone();
    let checks = || {
        run(&daemon, &["query", "--address", &address, "-o", "jsonl"]).with(0);
        // What has expired is sealed and goes, though there is no room for a receipt but the ballast's.
        wait_until("an expired segment to be sealed and dropped", || {
            let swept = run(&daemon, &["sweep", "-o", "json"]);
            (swept.code == Some(0) && swept.out.contains("first_sequence")).then_some(())
        });
    };
    tokio::task::block_in_place(checks);

    // Appends resume by themselves, as soon as what has expired is more than the ballast takes back.
    let resumed = wait_until_ok(&daemon, &mut sender).await;
    assert!(!resumed.repeated_request, "it was not stored before");
    daemon.kill_and_restart();
    let mut client = EventServiceClient::connect(daemon.grpc().to_owned()).await.unwrap();
    let events = large_batch(sender.sequence - 1);
    let request = AppendRequest { events, producer_id: 31, producer_sequence: sender.sequence - 1 };
    let again = client.append(request).await.unwrap().into_inner();
    assert_eq!(again.ranges, resumed.ranges, "a retry has the first addresses");
}

async fn wait_until_ok(daemon: &Daemon, sender: &mut Sender) -> AppendResponse {
    let begun = tokio::time::Instant::now();
    loop {
        match sender.send().await {
            Ok(answer) => return answer,
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
        }
        assert!(begun.elapsed() < crate::daemon::PATIENCE, "appends resume");
        let swept = tokio::task::block_in_place(|| run(daemon, &["sweep"]));
        // 1: nothing more has expired yet.
        assert!(matches!(swept.code, Some(0 | 1)), "{}", swept.err);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_file_system_refuses_sweeps_and_resumes() {
    a_full_disk(Volume::memory(48 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ext4_refuses_sweeps_and_resumes() {
    a_full_disk(Volume::image("ext4", 64 << 20)).await;
}
