//! Asks a question, and looks whether the answer is right.

use crate::questions::{Ask, Question};
use anyhow::Result;
use piperoll_filter::RecordFacts;
use piperoll_format::{event::EventView, units::UnixNanos};
use piperoll_proto::{
    raw::{QueryResponse, query_service_client::QueryServiceClient},
    v1::{CountRequest, CountResponse, HistogramRequest, HistogramResponse, QueryRequest},
};
use std::collections::BTreeMap;
use tonic::transport::Channel;

/// An answer as the daemon gave it.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) records: Vec<QueryResponse>,
    pub(crate) count: CountResponse,
    pub(crate) histogram: HistogramResponse,
}

/// Asks, and waits for all of the answer.
pub(crate) async fn ask(channel: &Channel, question: &Question) -> Result<Answer> {
    let mut client = QueryServiceClient::new(channel.clone());
    let filter = question.filter.clone();
    let mut answer = Answer::default();
    match question.ask {
        Ask::Newest(limit) => {
            let limit = u32::try_from(limit)?;
            let mut stream =
                client.query(QueryRequest { filter, limit, ..QueryRequest::default() }).await?.into_inner();
            while let Some(part) = stream.message().await? {
                answer.records.push(part);
            }
        }
        Ask::Count(fields) => {
            let group_by = fields.iter().map(|&field| field.to_owned()).collect();
            answer.count = client.count(CountRequest { filter, group_by, limit: 0 }).await?.into_inner();
        }
        Ask::Hours => {
            let every = Some(prost_types::Duration { seconds: crate::sent::HOUR, nanos: 0 });
            let field = "time".to_owned();
            let request = HistogramRequest { filter, field, every, ..HistogramRequest::default() };
            answer.histogram = client.histogram(request).await?.into_inner();
        }
    }
    Ok(answer)
}

/// Whether it is the right answer; tells its size.
pub(crate) fn check(question: &Question, answer: &Answer) -> Result<String> {
    let (found, groups, size) = match question.ask {
        Ask::Newest(_) => {
            let count = check_records(question, answer)?;
            (count, None, format!("{count} events"))
        }
        Ask::Count(_) => {
            let CountResponse { total, groups, groups_omitted } = &answer.count;
            let size = format!("{total} in {} groups", groups.len() as u64 + groups_omitted);
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
            let values = groups.iter().map(|group| {
                let values: Vec<_> = group.values.iter().map(|value| text(&value.value)).collect();
                (values.join(", "), group.count)
            });
            (*total, Some(values.collect()), size)
        }
        Ask::Hours => {
            let HistogramResponse { total, buckets, .. } = &answer.histogram;
            let start = |start: Option<prost_types::Timestamp>| start.unwrap_or_default().seconds.to_string();
            let counts = buckets.iter().map(|bucket| (start(bucket.start), bucket.count));
            (*total, Some(counts.collect::<BTreeMap<_, _>>()), format!("{total} in {} hours", buckets.len()))
        }
    };
    let (name, filter, expected) = (question.name, &question.filter, question.expected);
    anyhow::ensure!(found == expected, "{name}: `{filter}` gives {found} where {expected} were sent");
    let is_right = question.groups.as_ref().is_none_or(|expected| groups.as_ref() == Some(expected));
    anyhow::ensure!(is_right, "{name}: {groups:?} where {:?} were sent", question.groups);
    Ok(size)
}

/// Whether the events match, by their bytes, and the newest come first; how many there are.
fn check_records(question: &Question, answer: &Answer) -> Result<u64> {
    let Question { name, filter, .. } = question;
    let parsed = piperoll_filter::parse(filter, UnixNanos(0))?;
    let (mut before, mut count) = (u64::MAX, 0);
    for record in answer.records.iter().flat_map(|part| &part.records) {
        let facts = RecordFacts { received: UnixNanos(0), class: &record.class };
        let matches = parsed.matches(&EventView::stored(&record.event)?, &facts);
        anyhow::ensure!(matches, "{name}: {} does not match `{filter}`", record.address);
        anyhow::ensure!(
            record.sequence < before,
            "{name}: {} is not older than those before it",
            record.address
        );
        (before, count) = (record.sequence, count + 1);
    }
    Ok(count)
}
