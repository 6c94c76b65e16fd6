//! Power cuts (R6): the file system loses what is not on its device, in the middle of the load.

use crate::check::{check_everything, check_retries, is_there};
use crate::daemon::{Daemon, wait_until};
use crate::kill::CONFIG;
use crate::senders::{Promises, start_senders};
use crate::volume::Volume;
use piperoll_client::{Client, ClientOptions};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Enough for a journal and some hundred thousand events; XFS takes no less. The image is sparse.
const VOLUME_BYTES: u64 = 400 << 20;
/// Runs of the control, of which one must lose something.
const CONTROL_RUNS: u64 = 10;

/// Cuts, unless `PIPEROLL_TEST_CASES` says otherwise: a tenth of it.
fn cuts() -> u64 {
    let cases = std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|text| text.parse::<u64>().ok());
    cases.map_or(2, |cases| (cases / 10).max(2))
}

/// A volume whose power can be cut, or why there is none.
fn volume(kind: &str) -> Result<Volume, String> {
    Volume::image(kind, VOLUME_BYTES)?.cut_power()?;
    Volume::image(kind, VOLUME_BYTES)
}

/// Stops the daemon where it is. When this returns, nothing more is said by it: a signal alone leaves its other threads
/// running until one of them has taken it, and what these hear from a device without power, no machine would tell.
fn freeze(daemon: &Daemon) {
    daemon.signal(Signal::STOP);
    wait_until("the daemon to stop", || {
        let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let states: String = threads.filter_map(|thread| state(&thread.unwrap().path())).collect();
        // Stopped, or in a call of the system from which it comes back stopped.
        let is_stopped = states.contains(['T', 't']) && states.chars().all(|state| "TtD".contains(state));
        is_stopped.then_some(())
    });
}

/// The letter of a thread's state; none of one that has ended.
fn state(thread: &Path) -> Option<char> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

/// The machine stops, and comes back; or what the daemon said when it did not.
fn cut(daemon: &mut Daemon, volume: &Volume) -> Result<(), String> {
    freeze(daemon);
    volume.cut_power().unwrap();
    daemon.kill();
    volume.mount_again();
    daemon.start_again()
}

async fn power_cuts(kind: &str) {
    let volume = match volume(kind) {
        Ok(volume) => volume,
        Err(reason) => return println!("skipped, because {reason}"),
    };
    let mut daemon = Daemon::start(&volume.home(), CONFIG, &["--log-level", "warn"]);
    let promises = Arc::new(Promises::default());
    let endpoint = daemon.grpc().to_owned();
    let senders = start_senders(&endpoint, &promises).await;
    let watched = Arc::clone(&promises);
    // The daemon goes first, whatever fails.
    let (volume, daemon) = tokio::task::spawn_blocking(move || {
        for number in 0..cuts() {
            watched.wait_for_more(1 + number.wrapping_mul(7_919) % 200);
            cut(&mut daemon, &volume).unwrap();
        }
        (volume, daemon)
    })
    .await
    .unwrap();
    promises.end(senders).await;
    let client = Client::connect(ClientOptions::new(endpoint.clone())).await.unwrap();
    check_everything(&client, &promises).await;
    check_retries(&endpoint, &promises).await;
    println!("{} power cuts on {kind}, {} batches kept", cuts(), promises.batches.lock().unwrap().len());
    drop(daemon);
    drop(volume);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_power_cuts_on_ext4() {
    power_cuts("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_power_cuts_on_xfs() {
    power_cuts("xfs").await;
}

/// How many acknowledged batches a daemon whose syncs do nothing loses by one power cut; `None` where nothing of
/// it comes back.
async fn lost_without_syncs(volume: &Volume) -> Result<Option<usize>, String> {
    let swallow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"];
    let swallow = [&swallow[..], &["-e", "inject=fsync,fdatasync:retval=0"]].concat();
    let mut daemon = Daemon::start_under(&swallow, &volume.home(), CONFIG, &["--log-level", "warn"])?;
    let promises = Arc::new(Promises::default());
    let endpoint = daemon.grpc().to_owned();
    let mut senders = start_senders(&endpoint, &promises).await;
    tokio::task::block_in_place(|| promises.wait_for_more(50));
    senders.shutdown().await;
    let Ok(()) = tokio::task::block_in_place(|| cut(&mut daemon, volume)) else { return Ok(None) };
    let client = Client::connect(ClientOptions::new(endpoint)).await.unwrap();
    let batches = promises.batches.lock().unwrap().clone();
    let mut lost = 0;
    for range in batches.values().flatten() {
        lost += usize::from(!is_there(&client, &range.class, range.first_sequence).await);
    }
    Ok(Some(lost))
}

/// The control: were syncs not needed on this machine, the tests above would prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_a_power_cut_loses_what_was_acknowledged() {
    for run in 1..=CONTROL_RUNS {
        let volume = match volume("ext4") {
            Ok(volume) => volume,
            Err(reason) => return println!("skipped, because {reason}"),
        };
        match lost_without_syncs(&volume).await {
            Ok(Some(0)) => {}
            Ok(lost) => return println!("run {run} lost {lost:?} ranges (none: nothing came back)"),
            Err(reason) => return println!("skipped, because {reason}"),
        }
    }
    panic!("{CONTROL_RUNS} power cuts without a sync lost nothing");
}
