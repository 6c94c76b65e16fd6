//! Events, as bytes, as JSON, and as what GitHub sends.

use bytes::Bytes;
use piperoll_format::{
    event::{EventView, Field, Indexed, LinkView, Term, check_and_count, check_event},
    limits::EVENT_BYTES_MAX,
    request::check_batch,
    units::UnixNanos,
};
use piperoll_intake::{event_json, json_event, json_event_lenient};
use piperoll_proto::v1::Event;
use piperoll_samples::{Events, github_payloads};
use prost::Message as _;
use std::collections::BTreeSet;

/// Generated events, many fields set in them.
pub(crate) fn samples(count: usize) -> Vec<Event> {
    Events::new(7, 1_000, 1.0).take(count).collect()
}

/// An event that is accepted is one to prost as well, and both find the same values to index.
pub(crate) fn event(bytes: &[u8]) {
    let Ok((view, unknown)) = check_and_count(bytes) else { return };
    assert!(bytes.len() <= EVENT_BYTES_MAX && unknown < bytes.len());
    let decoded = Event::decode(bytes).expect("what is accepted is protobuf");
    let mut found = BTreeSet::new();
    view.for_each_term(&mut |term| found.extend([format!("{term:?}")]));
    assert_eq!(found, terms(&decoded), "the terms of the walk, then those of prost's event");
    assert_eq!(view.actor(), decoded.actor.as_deref());
    ask_view(view);
}

/// Short names for the field that every event has.
trait Actor<'a> {
    fn actor(self) -> Option<&'a str>;
}

impl<'a> Actor<'a> for EventView<'a> {
    fn actor(self) -> Option<&'a str> {
        self.text(Field::Actor)
    }
}

/// Every other question that a view answers.
fn ask_view(view: EventView<'_>) {
    assert_eq!(EventView::stored(view.bytes()), Ok(view));
    let artifacts =
        view.artifacts().map(|artifact| artifact.digests().count() + artifact.uri().map_or(0, str::len));
    let attestations = view.attestations().map(|attestation| attestation.digests().count());
    let links = view.links().filter_map(LinkView::id).map(str::len);
    let size: usize = artifacts.chain(attestations).chain(links).sum();
    assert!(size <= view.bytes().len(), "more parts than bytes");
    for field in Field::ALL {
        let found = [view.text(*field).is_some(), view.number(*field).is_some(), view.blob(*field).is_some()];
        assert!(found.iter().filter(|found| **found).count() <= 1, "{field:?} has one kind");
    }
}

fn terms(event: &Event) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    let mut put = |term: Term<'_>| terms.extend([format!("{term:?}")]);
    if let Some(time) = event.time {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        put(Term::Time(UnixNanos(i64::try_from(nanos).expect("a time that fits was checked"))));
    }
    let texts = [
        (Field::Id, &event.id),
        (Field::Source, &event.source),
        (Field::Actor, &event.actor),
        (Field::Action, &event.action),
        (Field::Stage, &event.stage),
        (Field::Pipeline, &event.pipeline),
        (Field::Run, &event.run),
        (Field::Job, &event.job),
        (Field::Repo, &event.repo),
        (Field::Ref, &event.r#ref),
        (Field::Commit, &event.commit),
        (Field::OnBehalfOf, &event.on_behalf_of),
        (Field::Credential, &event.credential),
        (Field::Step, &event.step),
        (Field::Trigger, &event.trigger),
        (Field::Change, &event.change),
        (Field::Environment, &event.environment),
        (Field::Address, &event.address),
        (Field::Runner, &event.runner),
    ];
    for (field, text) in texts {
        assert_ne!(field.indexed(), Indexed::No, "{field:?}");
        if let Some(text) = text {
            put(Term::Text(field, text.as_bytes()));
        }
    }
    let numbers = [
        (Field::Outcome, event.outcome.map(i64::from)),
        (Field::ActorType, event.actor_type.map(i64::from)),
        (Field::AuthMethod, event.auth_method.map(i64::from)),
        (Field::RunAttempt, event.run_attempt.map(i64::from)),
    ];
    for (field, number) in numbers {
        if let Some(number) = number {
            put(Term::Number(field, number.cast_unsigned()));
        }
    }
    event.runner_labels.iter().for_each(|label| put(Term::Text(Field::RunnerLabels, label.as_bytes())));
    event
        .links
        .iter()
        .filter_map(|link| link.id.as_deref())
        .for_each(|id| put(Term::Text(Field::Links, id.as_bytes())));
    event.attributes.iter().for_each(|(key, value)| put(Term::Attribute(key.as_bytes(), value.as_bytes())));
    let artifacts = event.artifacts.iter().flat_map(|artifact| &artifact.digests);
    artifacts.for_each(|(name, hex)| put(Term::Digest(Field::Artifacts, name.as_bytes(), hex.as_bytes())));
    let attestations = event.attestations.iter().flat_map(|attestation| &attestation.digests);
    attestations
        .for_each(|(name, hex)| put(Term::Digest(Field::Attestations, name.as_bytes(), hex.as_bytes())));
    for (field, bytes) in [(Field::TraceId, &event.trace_id), (Field::SpanId, &event.span_id)] {
        if let Some(bytes) = bytes {
            put(Term::Bytes(field, bytes));
        }
    }
    terms
}

pub(crate) fn event_seeds() -> Vec<Vec<u8>> {
    let github = github_payloads();
    let mapped = github
        .iter()
        .step_by(12)
        .filter_map(|sample| piperoll_intake::github(sample.kind, Some("0"), sample.body).ok());
    samples(24).into_iter().chain(mapped).map(|event| event.encode_to_vec()).collect()
}

/// The spans of a request that is accepted lie one behind the other, and each holds an event.
pub(crate) fn request(bytes: &[u8]) {
    let mut seen = Vec::new();
    let message = Bytes::copy_from_slice(bytes);
    let Ok(batch) = check_batch(message, &mut |index, view| seen.push((index, view.bytes().to_vec()))) else {
        return;
    };
    assert_eq!(seen.len(), batch.spans.len());
    let mut end = 0;
    for (place, (span, (index, event))) in batch.spans.iter().zip(&seen).enumerate() {
        assert_eq!((place, end), (*index, span.field_range().start));
        assert_eq!(&batch.payload[span.event_range()], event, "event {place}");
        end = span.field_range().end;
    }
    assert_eq!(end, batch.payload.len());
    let decoded = piperoll_proto::v1::AppendRequest::decode(bytes).expect("what is accepted is protobuf");
    assert_eq!(decoded.events.len(), batch.spans.len());
    let key = batch.producer.map_or((0, 0), |key| (key.id, key.sequence));
    assert_eq!((decoded.producer_id, decoded.producer_sequence), key);
}

pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    let with_key = |count, producer_id, producer_sequence| {
        let events = samples(count);
        piperoll_proto::v1::AppendRequest { events, producer_id, producer_sequence }.encode_to_vec()
    };
    vec![with_key(1, 0, 0), with_key(3, 7, 9), with_key(8, u64::MAX, 1), vec![]]
}

/// An event that was read from a line is written and read again as the same one.
pub(crate) fn json(bytes: &[u8]) {
    let Ok(line) = str::from_utf8(bytes) else { return };
    let Ok(event) = json_event(line) else {
        return drop(json_event_lenient(line));
    };
    let again = event_json(&event).to_string();
    assert_eq!(json_event(&again).ok().as_ref(), Some(&event), "written as {again}");
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    let odd = [
        r#"{"actor":"a","action":"b","time":"2026-11-23T13:00:00.5+01:00"}"#,
        r#"{"actor":"\ud83d\ude00","action":"b","attributes":{"k":"v","":""},"runner_labels":["x"]}"#,
        r#"{"actor":"a","action":"b","traceId":"q80=","sourceSequence":"18446744073709551615"}"#,
    ];
    let lines =
        samples(12).iter().map(|event| event_json(event).to_string().into_bytes()).collect::<Vec<_>>();
    lines.into_iter().chain(odd.map(|line| line.as_bytes().to_vec())).collect()
}

/// The first byte picks the kind, the others are the payload. The event that is made is one that the daemon takes.
pub(crate) fn github(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let kinds = kinds();
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let Ok(event) = piperoll_intake::github(kind, Some("delivery"), payload) else { return };
    if let Err(error) = check_event(&event.encode_to_vec()) {
        assert_eq!(error.to_string(), "", "{kind}");
    }
}

fn kinds() -> Vec<&'static str> {
    let kinds: BTreeSet<_> = github_payloads().iter().map(|payload| payload.kind).collect();
    kinds.into_iter().collect()
}

pub(crate) fn github_seeds() -> Vec<Vec<u8>> {
    let kinds = kinds();
    let seed = |(place, kind): (usize, &&str)| {
        let payloads = github_payloads();
        let body =
            payloads.iter().filter(|payload| payload.kind == *kind).min_by_key(|payload| payload.body.len());
        [&[u8::try_from(place).unwrap_or_default()][..], body.map_or(&b"{}"[..], |payload| payload.body)]
            .concat()
    };
    kinds.iter().enumerate().map(seed).collect()
}
