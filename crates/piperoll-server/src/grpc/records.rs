//! Requests and answers of the way out, between their wire form and the store's.

use crate::{
    clock,
    refusal::{Refusal, bad_filter},
};
use bytes::Bytes;
use piperoll_filter::{Filter, Subject};
use piperoll_format::{
    names::Name,
    units::{Sequence, UnixNanos},
};
use piperoll_proto::{raw, v1};
use piperoll_store::{Order, Position, Record};
use prost::Message as _;

/// A stored event, in the bytes that its producer sent.
pub(crate) fn event_record(tenant: &Name, record: Record) -> raw::EventRecord {
    let envelope = &record.envelope;
    let sender = v1::Sender {
        principal: envelope.principal.clone(),
        auth_method: i32::try_from(envelope.auth_method).unwrap_or_default(),
        peer: envelope.peer.clone(),
        intake: envelope.intake.clone(),
    };
    raw::EventRecord {
        address: format!("{tenant}/{}@{}", record.class, record.sequence),
        class: record.class.to_string(),
        sequence: record.sequence.0,
        received: Some(clock::timestamp(record.received)),
        sender: Some(sender),
        event: record.event,
    }
}

/// A message of a tail: these events, and where to go on after them.
pub(crate) fn tail_page(
    tenant: &Name,
    records: impl IntoIterator<Item = Record>,
    position: &Position,
    live: bool,
) -> Bytes {
    let records = records.into_iter().map(|record| event_record(tenant, record)).collect();
    raw::TailPage { records, position: position.encode(), live }.encode_to_vec().into()
}

/// The filter of a request.
pub(super) fn filter(text: &str, now: UnixNanos) -> Result<Filter, Refusal> {
    piperoll_filter::parse(text, now).map_err(|error| bad_filter(&error))
}

/// The subject that a request's `field` names.
pub(super) fn subject(field: &str, name: &str) -> Result<Subject, Refusal> {
    Subject::parse(name).map_err(|error| Refusal::field(field, error.to_string()))
}

/// The order of a request.
pub(super) fn order(number: i32) -> Result<Order, Refusal> {
    match v1::Order::try_from(number) {
        Ok(v1::Order::Unspecified | v1::Order::NewestFirst) => Ok(Order::NewestFirst),
        Ok(v1::Order::OldestFirst) => Ok(Order::OldestFirst),
        Err(_) => Err(Refusal::field("order", format!("{number} is no order"))),
    }
}

/// `class@sequence` or `tenant/class@sequence`.
pub(super) fn address(text: &str, tenant: &Name) -> Result<(Name, Sequence), Refusal> {
    let wrong = |problem: &str| {
        let expected = "write `class@sequence` or `tenant/class@sequence`";
        Refusal::field("address", format!("`{}` {problem}; {expected}", text.escape_debug()))
    };
    let (log, sequence) = text.rsplit_once('@').ok_or_else(|| wrong("has no `@`"))?;
    let class = match log.split_once('/') {
        Some((named, class)) if named == tenant.as_str() => class,
        Some(_) => return Err(wrong(&format!("is of another tenant than this request, {tenant}"))),
        None => log,
    };
    let class = Name::from_disk(class).map_err(|error| wrong(&format!("names no class: {error}")))?;
    let sequence = sequence.parse().map_err(|_| wrong("has no sequence"))?;
    Ok((class, Sequence(sequence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u64)>) {
        let tenant = Name::from_outside("acme").unwrap();
        let found = address(text, &tenant).ok().map(|(class, sequence)| (class.to_string(), sequence.0));
        assert_eq!(found, expected.map(|(class, sequence)| (class.to_owned(), sequence)), "{text}");
    }

    #[test]
    fn addresses_are_of_the_requests_own_tenant() {
        check("default@0", Some(("default", 0)));
        check("acme/default@18446744073709551615", Some(("default", u64::MAX)));
        check("other/default@0", None);
        check("default", None);
        check("default@", None);
        check("default@-1", None);
        check("../x@1", None);
        check("@1", None);
        check("", None);
    }
}
