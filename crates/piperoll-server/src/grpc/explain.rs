//! `Explain`: how a question is answered.

use super::query::{PAGE_EVENTS_MAX, QueryGrpc, limit};
use crate::refusal::Refusal;
use piperoll_format::names::Name;
use piperoll_proto::v1::{self, explain_request::Question};
use piperoll_store::{Asker, ConditionWork, Query, ReadError, Reader, Work, os::OsDisk};
use prost_types::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What was done, and how many events it found in how many nanoseconds.
type Explained = (u64, u64, Work, Vec<ConditionWork>);

/// Answers the question, and tells how.
pub(super) async fn answer(
    grpc: &QueryGrpc,
    tenant: Name,
    request: v1::ExplainRequest,
) -> Result<v1::ExplainResponse, Refusal> {
    let missing = || Refusal::field("question", "expected a query or a count".to_owned());
    let explained = match request.question.ok_or_else(missing)? {
        Question::Query(request) => {
            let limit = (limit(&request) as usize).min(PAGE_EVENTS_MAX);
            let query = Query { limit, ..grpc.parse(tenant, &request)? };
            explain(grpc, move |reader, asker| Ok(reader.query(&query, asker)?.records.len() as u64)).await?
        }
        Question::Count(request) => {
            let count = grpc.parse_count(tenant, &request)?;
            explain(grpc, move |reader, asker| Ok(reader.count(&count, asker)?.total)).await?
        }
    };
    Ok(response(explained))
}

async fn explain(
    grpc: &QueryGrpc,
    ask: impl FnOnce(&Reader<OsDisk>, &Asker<'_>) -> Result<u64, ReadError> + Send + 'static,
) -> Result<Explained, Refusal> {
    let clock = grpc.0.clock;
    let explained = grpc.0.read_explained(move |reader, asker| {
        let begun = clock.monotonic_ns();
        let found = ask(reader, asker)?;
        let took = clock.monotonic_ns().saturating_sub(begun);
        Ok((found, took, asker.work(), asker.conditions()))
    });
    explained.await
}

fn response((found, took, work, conditions): Explained) -> v1::ExplainResponse {
    v1::ExplainResponse {
        found,
        segments: work.segments,
        ruled_out_by_time: work.ruled_out_by_time,
        ruled_out_by_terms: work.ruled_out_by_terms,
        indexes: work.indexes,
        candidates: work.candidates,
        events_read: work.events,
        bytes_read: work.bytes,
        took: duration(took),
        open_time: duration(work.open_ns),
        index_time: duration(work.index_ns),
        read_time: duration(work.read_ns),
        conditions: conditions.into_iter().map(condition).collect(),
    }
}

fn condition(ConditionWork { condition, matches, candidates }: ConditionWork) -> v1::ExplainedCondition {
    v1::ExplainedCondition { condition: condition.to_string(), matches, candidates }
}

fn duration(nanos: u64) -> Option<Duration> {
    let seconds = i64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    Some(Duration { seconds, nanos: i32::try_from(nanos % NANOS_PER_SECOND).ok()? })
}
