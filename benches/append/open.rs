//! Open loop: messages are due at times that are fixed beforehand, whatever the answers do, and a latency counts
//! from when its message was due. So a daemon that stalls pays for everybody who would have had to wait.

use crate::{
    clock::now,
    load::{connect_all, request},
    messages::{Load, Message},
};
use anyhow::Result;
use futures_util::{StreamExt as _, stream};
use hdrhistogram::Histogram;
use piperoll_proto::raw::{RawMessage, event_service_client::EventServiceClient};
use std::{
    net::SocketAddr,
    num::NonZeroU64,
    sync::mpsc,
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, transport::Channel};

/// Before the first message is due: the connections are there by then.
const LEAD: Duration = Duration::from_millis(5);

/// A sleep is at least as long: at rates of a message each few microseconds the sender would take a processor from those
/// that are measured. What is due in the meantime is sent at once, and counts from when it was due.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// In nanoseconds.
pub(crate) type Latencies = Histogram<u64>;

/// Where a latency goes, or why there is none.
type Answered = mpsc::Sender<Result<Duration, Status>>;

/// What was due together: waking whoever sends it costs more than a small message.
type Batches<T> = UnboundedSender<Vec<T>>;

/// One connection.
enum Lane {
    Calls { client: EventServiceClient<Channel>, runtime: Handle, answered: Answered },
    Stream { due: Vec<(RawMessage, Instant)>, messages: Batches<RawMessage>, times: Batches<Instant> },
}

/// Sends `load` to `address` for `time`, `rate` messages a second, and adds the latencies to `latencies`.
pub(crate) fn run(
    runtime: &Runtime,
    address: SocketAddr,
    load: &Load,
    rate: f64,
    time: Duration,
    latencies: &mut Latencies,
) -> Result<()> {
    let (answered, answers) = mpsc::channel();
    let channels = runtime.block_on(connect_all(address))?;
    let mut lanes: Vec<_> =
        channels.into_iter().map(|channel| lane(runtime, channel, load.shape.streams, &answered)).collect();
    drop(answered);
    sleep_precisely()?;
    let (interval, start) = (Duration::from_secs_f64(rate.recip()), now() + LEAD);
    let mut sent = 0_u32;
    for message in load.messages.iter().cycle() {
        let due = start + interval * sent;
        if sent > 0 && due > start + time {
            break;
        }
        if due > now() {
            lanes.iter_mut().for_each(Lane::flush);
            wait_until(due);
        }
        let count = lanes.len();
        if let Some(lane) = lanes.get_mut(sent as usize % count) {
            lane.send(message, due);
        }
        sent += 1;
    }
    lanes.iter_mut().for_each(Lane::flush);
    drop(lanes);
    let mut count = 0;
    for latency in answers {
        latencies.record(u64::try_from(latency?.as_nanos())?)?;
        count += 1;
    }
    anyhow::ensure!(count == sent, "{count} of {sent} messages were acknowledged");
    Ok(())
}

/// The kernel lets sleepers oversleep by 50 µs otherwise.
pub(crate) fn sleep_precisely() -> Result<()> {
    Ok(rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?)
}

/// Returns at `due`, or a little later.
pub(crate) fn wait_until(due: Instant) {
    loop {
        let wait = due.saturating_duration_since(now());
        if wait.is_zero() {
            return;
        }
        sleep(wait.max(SLEEP_MIN));
    }
}

fn lane(runtime: &Runtime, channel: Channel, streams: bool, answered: &Answered) -> Lane {
    let (client, answered) = (EventServiceClient::new(channel), answered.clone());
    if !streams {
        return Lane::Calls { client, runtime: runtime.handle().clone(), answered };
    }
    let (messages, sending) = unbounded_channel();
    let (times, due) = unbounded_channel();
    runtime.spawn(async move {
        if let Err(status) = one_stream(client, sending, due, &answered).await {
            // Nobody listens any more: the run has failed already.
            answered.send(Err(status)).ok();
        }
    });
    Lane::Stream { due: Vec::new(), messages, times }
}

impl Lane {
    /// Sends a message, or keeps it until the lane is flushed.
    fn send(&mut self, message: &Message, at: Instant) {
        match self {
            Self::Calls { client, runtime, answered } => {
                let (mut client, answered, request) = (client.clone(), answered.clone(), request(message));
                runtime.spawn(async move {
                    let answer = client.append(request).await;
                    answered.send(answer.map(|_| at.elapsed())).ok();
                });
            }
            Self::Stream { due, .. } => due.push((RawMessage(message.body.clone()), at)),
        }
    }

    /// Sends what is due. A lane that has broken says so itself.
    fn flush(&mut self) {
        if let Self::Stream { due, messages, times } = self
            && !due.is_empty()
        {
            let (bodies, dues) = due.drain(..).unzip();
            times.send(dues).ok();
            messages.send(bodies).ok();
        }
    }
}

/// One endless call: its answers come in the order of the messages.
async fn one_stream(
    mut client: EventServiceClient<Channel>,
    messages: UnboundedReceiver<Vec<RawMessage>>,
    due: UnboundedReceiver<Vec<Instant>>,
    answered: &Answered,
) -> Result<(), Status> {
    let sending = UnboundedReceiverStream::new(messages).flat_map(stream::iter).fuse();
    let mut due = UnboundedReceiverStream::new(due).flat_map(stream::iter);
    let mut answers = client.append_stream(sending).await?.into_inner();
    while answers.message().await?.is_some() {
        if let Some(at) = due.next().await {
            answered.send(Ok(at.elapsed())).ok();
        }
    }
    Ok(())
}
