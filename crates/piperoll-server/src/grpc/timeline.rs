//! `Timeline`: everything that touched an artifact, a run or a commit. It is found before the answer begins, as
//! addresses; the events are read while they are sent.

use super::{
    answers::{Answers, answers_and_end},
    query::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGES_WAITING_MAX},
    records::event_record,
};
use crate::{daemon::Daemon, refusal::Refusal};
use piperoll_filter::digest_digits;
use piperoll_format::names::Name;
use piperoll_proto::{
    raw,
    v1::{self, TimelineReasonKind, timeline_request::Subject},
};
use piperoll_store::{
    Entry, Follows, Limit, Place, ReadError, Reader, Reason, TIMELINE_EVENTS_MAX, Thing, Timeline, os::OsDisk,
};
use std::sync::Arc;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Events of a request that sets no limit.
const TIMELINE_LIMIT: usize = 1_000;
/// Longest run, commit or source that is looked for: as long as an event may be.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Finds the events, and sends them.
pub(super) async fn answers(
    daemon: &Arc<Daemon>,
    tenant: Name,
    request: v1::TimelineRequest,
) -> Result<Answers<raw::TimelineResponse>, Refusal> {
    let place = daemon.query_place()?;
    let limit = if request.limit == 0 { TIMELINE_LIMIT } else { request.limit as usize };
    if limit > TIMELINE_EVENTS_MAX {
        return Err(Refusal::field("limit", format!("it is {limit}, at most {TIMELINE_EVENTS_MAX}")));
    }
    let timeline = Timeline { tenant: tenant.clone(), of: thing(request)?, limit };
    let told = daemon.read(move |reader, asker| reader.timeline(&timeline, asker)).await?;
    let limits_reached = told.limits_reached.into_iter().map(|limit| limit_reached(limit).into()).collect();
    let (answers, reader) = mpsc::channel(PAGES_WAITING_MAX);
    let telling =
        Telling { daemon: Arc::clone(daemon), tenant, entries: told.entries.into(), limits_reached };
    let giving = async move {
        let _place = place;
        let daemon = Arc::clone(&telling.daemon);
        telling.give(answers).await.err().map(|refusal| daemon.refused(refusal))
    };
    Ok(answers_and_end(daemon, ReceiverStream::new(reader), giving))
}

/// What the request is about.
fn thing(request: v1::TimelineRequest) -> Result<Thing, Refusal> {
    let source = Some(request.source).filter(|source| !source.is_empty());
    if source.is_some() && !matches!(request.subject, Some(Subject::Run(_))) {
        return Err(Refusal::field("source", "it says whose run is meant, and no run is asked for"));
    }
    let text = |field: &str, text: String| match text.len() {
        0 => Err(Refusal::field(field, "it is empty")),
        1..=TEXT_BYTES_MAX => Ok(text),
        _ => Err(Refusal::field(field, format!("it is longer than {TEXT_BYTES_MAX} bytes"))),
    };
    match request.subject {
        Some(Subject::Artifact(digest)) => artifact(&digest),
        Some(Subject::Run(run)) => {
            Ok(Thing::Run { source, run: text("run", run)?, follows: Follows::Artifacts })
        }
        Some(Subject::Commit(commit)) => Ok(Thing::Commit(text("commit", commit)?)),
        None => Err(Refusal::field("subject", "name an artifact, a run or a commit")),
    }
}

/// A digest that can be one: part of one, or one with a slip, would find nothing and look like an answer.
fn artifact(text: &str) -> Result<Thing, Refusal> {
    let wrong = |problem: String| Refusal::field("artifact", problem);
    let shown: String = text.chars().take(200).collect();
    let shown = shown.escape_debug();
    let Some(thing) = Thing::digest(text) else {
        return Err(wrong(format!(
            "`{shown}` is no digest; write algorithm:hexadecimal, such as sha256:9f86d081…, whole"
        )));
    };
    let Thing::Artifact { algorithm, hex } = &thing else { return Ok(thing) };
    match digest_digits(algorithm) {
        Some(digits) if digits != hex.len() => {
            let found = hex.len();
            Err(wrong(format!("`{shown}` has {found} digits, a digest by {algorithm} has {digits}")))
        }
        _ => Ok(thing),
    }
}

fn limit_reached(limit: Limit) -> v1::TimelineLimit {
    match limit {
        Limit::Events => v1::TimelineLimit::Events,
        Limit::Things => v1::TimelineLimit::Things,
        Limit::Rounds => v1::TimelineLimit::Rounds,
    }
}

/// A timeline on its way.
struct Telling {
    daemon: Arc<Daemon>,
    tenant: Name,
    entries: Arc<[Entry]>,
    limits_reached: Vec<i32>,
}

/// Some of the events, and where the next ones begin.
type Page = (Vec<raw::TimelineEntry>, usize);

impl Telling {
    /// Page after page, no faster than they are taken; one at least, which tells what was not found.
    async fn give(self, answers: mpsc::Sender<Result<raw::TimelineResponse, Status>>) -> Result<(), Refusal> {
        let mut next = 0;
        loop {
            let (entries, end) = tokio::select! {
                () = answers.closed() => return Ok(()),
                page = self.page(next) => page?,
            };
            next = end;
            let answer = raw::TimelineResponse { entries, limits_reached: self.limits_reached.clone() };
            let stall_max = self.daemon.limits.reader_stall_max;
            let sent = timeout(stall_max.0, answers.send(Ok(answer))).await;
            let slow = || format!("this timeline's reader took nothing for {stall_max}; ask again");
            let sent = sent.map_err(|_| Refusal::overload("slow_reader", slow()))?;
            if sent.is_err() || next >= self.entries.len() {
                return Ok(());
            }
        }
    }

    async fn page(&self, from: usize) -> Result<Page, Refusal> {
        let (entries, tenant) = (Arc::clone(&self.entries), self.tenant.clone());
        self.daemon.read(move |reader, _| page(reader, &tenant, &entries, from)).await
    }
}

fn page(reader: &Reader<OsDisk>, tenant: &Name, entries: &[Entry], from: usize) -> Result<Page, ReadError> {
    let (mut page, mut bytes, mut next) = (Vec::new(), 0_usize, from);
    for Entry { place, reasons, .. } in entries.iter().skip(from) {
        if bytes >= PAGE_BYTES_MAX || page.len() >= PAGE_EVENTS_MAX {
            break;
        }
        next += 1;
        let record = match reader.get(tenant, &place.class, place.sequence) {
            Ok(record) => record,
            // Retention took it since it was found.
            Err(ReadError::Dropped { .. }) => continue,
            Err(error) => return Err(error),
        };
        let reasons: Vec<_> = reasons.iter().map(|reason| timeline_reason(tenant, reason)).collect();
        bytes = bytes.saturating_add(record.event.len());
        bytes = reasons.iter().fold(bytes, |bytes, reason| bytes.saturating_add(reason.value.len()));
        page.push(raw::TimelineEntry { record: Some(event_record(tenant, record)), reasons });
    }
    Ok((page, next))
}

fn timeline_reason(tenant: &Name, reason: &Reason) -> v1::TimelineReason {
    let kind = match reason.thing {
        Thing::Artifact { .. } => TimelineReasonKind::Artifact,
        Thing::Run { .. } => TimelineReasonKind::Run,
        Thing::Commit(_) => TimelineReasonKind::Commit,
        Thing::Cause { .. } => TimelineReasonKind::Cause,
        Thing::Effect { .. } => TimelineReasonKind::Effect,
    };
    let address = |Place { class, sequence }: &Place| format!("{tenant}/{class}@{sequence}");
    v1::TimelineReason {
        kind: kind.into(),
        value: reason.thing.to_string(),
        through: reason.through.as_ref().map(address).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, words: &str) {
        match artifact(text) {
            Ok(thing) => assert_eq!((thing.to_string().as_str(), words), (text, "")),
            Err(refusal) => assert!(!words.is_empty() && refusal.to_string().contains(words), "{refusal}"),
        }
    }

    #[test]
    fn a_digest_that_cannot_be_one_is_refused() {
        check(&format!("sha256:{}", "a1".repeat(32)), "");
        check(&format!("sha512:{}", "a1".repeat(64)), "");
        check("fnv:0123456789abcdef", "");
        check(&format!("sha256:{}", "a1".repeat(31)), "has 62 digits, a digest by sha256 has 64");
        check("sha256:", "is no digest");
        check(&"a1".repeat(32), "is no digest");
        check(&format!("sha256:{}", "zz".repeat(32)), "is no digest");
        check(&format!("sha256:{}*", "a1".repeat(32)), "is no digest");
        check(&"x".repeat(1 << 20), "is no digest");
        check("", "is no digest");
    }
}
