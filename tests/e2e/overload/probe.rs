//! A well-behaved producer: one small event at a time, at its own steady pace whatever the daemon does.

use piperoll_proto::v1::event_service_client::EventServiceClient;
use piperoll_proto::v1::query_service_client::QueryServiceClient;
use piperoll_proto::v1::{AppendRequest, Event, GetRequest};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::Channel;

/// An event is due this often.
const EVERY: Duration = Duration::from_millis(10);

/// What it saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// From the time an event was due to its acknowledgement.
    pub(crate) delays: Vec<Duration>,
    /// Its acknowledgements: the event's id, and its address.
    pub(crate) acknowledged: Vec<(String, String)>,
    pub(crate) refused: Vec<tonic::Status>,
}

impl Seen {
    /// The delay that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays.get(delays.len() * percent / 100).copied().unwrap_or_default()
    }

    /// Everything that was acknowledged is there, at its address, as it was sent.
    pub(crate) async fn check(&self, channel: Channel) {
        let mut queries = QueryServiceClient::new(channel);
        for (id, address) in &self.acknowledged {
            let record = queries.get(GetRequest { address: address.clone() }).await.unwrap().into_inner();
            assert_eq!(record.record.unwrap().event.unwrap(), event(id), "{address}");
        }
    }
}

fn event(id: &str) -> Event {
    Event {
        id: Some(id.to_owned()),
        actor: Some("probe".into()),
        action: Some("job.finished".into()),
        stage: Some("test".into()),
        ..Event::default()
    }
}

/// Sends for `time`; `name` makes its events different from those of other runs.
pub(crate) async fn run(channel: Channel, name: &str, time: Duration) -> Seen {
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begun, mut sent, mut calls) = (Instant::now(), 0, JoinSet::new());
    while begun.elapsed() < time {
        let due_at = due.tick().await;
        let id = format!("{name}-{sent}");
        sent += 1;
        let mut client = EventServiceClient::new(channel.clone());
        calls.spawn(async move {
            let request = AppendRequest { events: vec![event(&id)], ..AppendRequest::default() };
            let answer = client.append(request).await;
            (id, due_at.elapsed(), answer)
        });
    }
    let mut seen = Seen::default();
    while let Some(call) = calls.join_next().await {
        let (id, delay, answer) = call.unwrap();
        match answer {
            Ok(answer) => {
                let range = answer.into_inner().ranges.pop().unwrap();
                seen.delays.push(delay);
                seen.acknowledged.push((id, format!("{}@{}", range.class, range.first_sequence)));
            }
            Err(status) => seen.refused.push(status),
        }
    }
    seen
}
