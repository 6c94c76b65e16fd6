//! `QueryService`: the way out. Answers are made in pages, each one a message of bounded size.

use super::{
    answers::{Answers, answers_and_end},
    explain,
    fitting::fitting,
    histogram,
    records::{address, event_record, filter, order, subject},
    tail, timeline, values,
};
use crate::{
    daemon::{Daemon, tenant_to_read},
    refusal::Refusal,
};
use piperoll_format::names::Name;
use piperoll_proto::{
    raw::{self, query_service_server::QueryService},
    v1,
};
use piperoll_store::{Count, GROUPS_MAX, Group, Page, Position, Query};
use std::sync::Arc;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Bytes of events in a message: with what stands beside them it stays far below the 4 MiB that clients take
/// unless told otherwise.
pub(super) const PAGE_BYTES_MAX: usize = 512 << 10;
/// Events in a message.
pub(super) const PAGE_EVENTS_MAX: usize = 1_000;
/// Events of a query that sets no limit.
const QUERY_LIMIT: u32 = 100;
/// Groups of a count that sets no limit.
const COUNT_LIMIT: usize = 1_000;
/// Messages that may wait for a reader.
pub(super) const PAGES_WAITING_MAX: usize = 1;

/// `QueryService` of a daemon.
#[derive(Clone)]
pub(super) struct QueryGrpc(pub(super) Arc<Daemon>);

#[tonic::async_trait]
impl QueryService for QueryGrpc {
    type QueryStream = Answers<raw::QueryResponse>;
    type TimelineStream = Answers<raw::TimelineResponse>;
    type TailStream = Answers<raw::RawMessage>;

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let (tenant, request) = self.take(request)?;
        let place = self.0.query_place().map_err(|refusal| self.0.refused(refusal))?;
        let query = self.parse(tenant, &request).map_err(|refusal| self.0.refused(refusal))?;
        let limit = limit(&request);
        // The first page is made before the answer begins, so that what is wrong with the request is said there.
        let first = page(&self.0, &query, limit).await.map_err(|refusal| self.0.refused(refusal))?;
        if is_last(&first, limit) {
            let answer = answer(&query.tenant, first);
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(answer)))));
        }
        let (answers, reader) = mpsc::channel(PAGES_WAITING_MAX);
        let daemon = Arc::clone(&self.0);
        let giving = async move {
            let _place = place;
            let given = give_pages(&daemon, (query, limit), first, answers).await;
            given.err().map(|refusal| daemon.refused(refusal))
        };
        Ok(Response::new(answers_and_end(&self.0, ReceiverStream::new(reader), giving)))
    }

    async fn count(&self, request: Request<v1::CountRequest>) -> Result<Response<v1::CountResponse>, Status> {
        let (tenant, request) = self.take(request)?;
        let answer = self.count_events(tenant, request).await;
        answer.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn values(
        &self,
        request: Request<v1::ValuesRequest>,
    ) -> Result<Response<v1::ValuesResponse>, Status> {
        let (tenant, request) = self.take(request)?;
        let answer = values::answer(&self.0, tenant, request).await;
        answer.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn histogram(
        &self,
        request: Request<v1::HistogramRequest>,
    ) -> Result<Response<v1::HistogramResponse>, Status> {
        let (tenant, request) = self.take(request)?;
        let answer = histogram::answer(&self.0, tenant, request).await;
        answer.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn timeline(
        &self,
        request: Request<v1::TimelineRequest>,
    ) -> Result<Response<Self::TimelineStream>, Status> {
        let (tenant, request) = self.take(request)?;
        let answers = timeline::answers(&self.0, tenant, request).await;
        answers.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let (tenant, request) = self.take(request)?;
        let answer = explain::answer(self, tenant, request).await;
        answer.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<raw::GetResponse>, Status> {
        let (tenant, request) = self.take(request)?;
        let record = self.get_event(tenant, &request.address).await;
        let record = record.map_err(|refusal| self.0.refused(refusal))?;
        Ok(Response::new(raw::GetResponse { record: Some(record) }))
    }

    async fn tail(&self, request: Request<v1::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let (tenant, request) = self.take(request)?;
        let answers = tail::start(Arc::clone(&self.0), tenant, request).await;
        answers.map(Response::new).map_err(|refusal| self.0.refused(refusal))
    }
}

impl QueryGrpc {
    fn take<T>(&self, request: Request<T>) -> Result<(Name, T), Status> {
        let tenant = tenant_to_read(request.metadata()).map_err(|refusal| self.0.refused(refusal))?;
        Ok((tenant, request.into_inner()))
    }

    pub(super) fn parse(&self, tenant: Name, request: &v1::QueryRequest) -> Result<Query, Refusal> {
        Ok(Query {
            tenant,
            filter: filter(&request.filter, self.0.now())?,
            order: order(request.order)?,
            limit: 0,
            bytes_max: PAGE_BYTES_MAX,
            position: position(&request.position)?,
        })
    }

    pub(super) fn parse_count(&self, tenant: Name, request: &v1::CountRequest) -> Result<Count, Refusal> {
        let subject = |(at, name): (usize, &String)| subject(&format!("group_by[{at}]"), name);
        let group_by = request.group_by.iter().enumerate().map(subject).collect::<Result<Vec<_>, _>>()?;
        let limit = if request.limit == 0 { COUNT_LIMIT } else { (request.limit as usize).min(GROUPS_MAX) };
        Ok(Count { tenant, filter: filter(&request.filter, self.0.now())?, group_by, limit })
    }

    async fn count_events(
        &self,
        tenant: Name,
        request: v1::CountRequest,
    ) -> Result<v1::CountResponse, Refusal> {
        let count = self.parse_count(tenant, &request)?;
        let counted = self.0.read(move |reader, asker| reader.count(&count, asker)).await?;
        let bytes_of = |group: &Group| group.values.iter().flatten().map(|value| value.len() + 8).sum();
        let (groups, omitted) = fitting(counted.groups, bytes_of);
        Ok(v1::CountResponse {
            total: counted.total,
            groups: groups.into_iter().map(count_group).collect(),
            groups_omitted: counted.groups_omitted.saturating_add(omitted),
        })
    }

    async fn get_event(&self, tenant: Name, text: &str) -> Result<raw::EventRecord, Refusal> {
        let (class, sequence) = address(text, &tenant)?;
        let of = tenant.clone();
        let record = self.0.read(move |reader, _| reader.get(&of, &class, sequence)).await?;
        Ok(event_record(&tenant, record))
    }
}

/// How many events a request asks for.
pub(super) fn limit(request: &v1::QueryRequest) -> u32 {
    if request.limit == 0 { QUERY_LIMIT } else { request.limit }
}

/// A position that a request goes on from.
pub(super) fn position(text: &str) -> Result<Option<Position>, Refusal> {
    if text.is_empty() { Ok(None) } else { Ok(Some(Position::decode(text)?)) }
}

async fn page(daemon: &Arc<Daemon>, query: &Query, left: u32) -> Result<Page, Refusal> {
    let query = Query { limit: (left as usize).min(PAGE_EVENTS_MAX), ..query.clone() };
    daemon.read(move |reader, asker| reader.query(&query, asker)).await
}

fn events_of(page: &Page) -> u32 {
    u32::try_from(page.records.len()).unwrap_or(u32::MAX)
}

/// Whether nothing follows a page, where `left` events are still wanted.
fn is_last(page: &Page, left: u32) -> bool {
    page.exhausted || left <= events_of(page)
}

fn answer(tenant: &Name, page: Page) -> raw::QueryResponse {
    raw::QueryResponse {
        position: page.position.encode(),
        exhausted: page.exhausted,
        records: page.records.into_iter().map(|record| event_record(tenant, record)).collect(),
    }
}

/// Page after page, no faster than they are taken, until the limit or the end.
async fn give_pages(
    daemon: &Arc<Daemon>,
    (mut query, mut left): (Query, u32),
    first: Page,
    answers: mpsc::Sender<Result<raw::QueryResponse, Status>>,
) -> Result<(), Refusal> {
    let mut page = first;
    loop {
        let last = is_last(&page, left);
        left = left.saturating_sub(events_of(&page));
        query.position = Some(page.position.clone());
        let answer = answer(&query.tenant, page);
        let stall_max = daemon.limits.reader_stall_max;
        let sent = timeout(stall_max.0, answers.send(Ok(answer))).await;
        let slow =
            || format!("this query's reader took nothing for {stall_max}; go on from its last position");
        let sent = sent.map_err(|_| Refusal::overload("slow_reader", slow()))?;
        if sent.is_err() || last {
            return Ok(());
        }
        page = tokio::select! {
            // A reader that has gone must not keep a question running.
            () = answers.closed() => return Ok(()),
            next = self::page(daemon, &query, left) => next?,
        };
    }
}

fn count_group(group: Group) -> v1::CountGroup {
    let values = group.values.into_iter().map(|value| v1::GroupValue { value }).collect();
    v1::CountGroup { values, count: group.count }
}
