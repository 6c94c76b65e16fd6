//! The check of a request: whole, and in the client's own bytes.

use crate::support::{Wire, config, event};
use bytes::Bytes;
use piperoll_format::event::EventProblem;
use piperoll_format::frame::ProducerKey;
use piperoll_format::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use piperoll_format::request::{BatchError, CheckedBatch, check_batch};
use proptest::prelude::*;

fn checked(message: &Wire) -> Result<CheckedBatch, BatchError> {
    check_batch(Bytes::from(message.0.clone()), &mut |_, _| {})
}

fn check(message: &Wire, expected: &Result<Option<ProducerKey>, BatchError>) {
    assert_eq!(&checked(message).map(|batch| batch.producer), expected, "{:02x?}", message.0);
}

fn one() -> Wire {
    Wire::default().bytes(1, &event("alice", "build.started"))
}

#[test]
fn a_request_has_events_and_perhaps_a_retry_key() {
    check(&one(), &Ok(None));
    check(&one().number(2, 0).number(3, 0), &Ok(None));
    check(&one().number(2, 7).number(3, 1), &Ok(Some(ProducerKey { id: 7, sequence: 1 })));
    let last = u64::MAX - 1;
    check(
        &one().number(3, last).number(2, u64::MAX),
        &Ok(Some(ProducerKey { id: u64::MAX, sequence: last })),
    );
    let wrong = |id, sequence| Err(BatchError::Producer { id, sequence });
    check(&one().number(2, 7), &wrong(7, 0));
    check(&one().number(3, 7), &wrong(0, 7));
    check(&one().number(2, 7).number(3, u64::MAX), &wrong(7, u64::MAX));
    check(&Wire::default(), &Err(BatchError::Empty));
    check(&Wire::default().number(2, 7).number(3, 1), &Err(BatchError::Empty));
}

#[test]
fn what_is_not_known_or_there_twice_is_refused() {
    check(&one().number(2, 1).number(3, 1).number(2, 1), &Err(BatchError::Duplicate(2)));
    check(&one().number(2, 1).number(3, 1).number(3, 2), &Err(BatchError::Duplicate(3)));
    check(&one().number(4, 1), &Err(BatchError::UnknownField(4)));
    let offset = one().0.len();
    check(&one().text(2, "7"), &Err(BatchError::WireType { number: 2, offset }));
    check(&one().number(1, 7), &Err(BatchError::WireType { number: 1, offset }));
    assert!(matches!(checked(&Wire(vec![0x0A])), Err(BatchError::Malformed { offset: 0, .. })));
}

#[test]
fn one_bad_event_refuses_the_request_and_is_named() {
    let Err(BatchError::Event { index: 1, source }) = checked(&one().bytes(1, &event("", "x"))) else {
        panic!("the second event has no actor");
    };
    assert_eq!((source.field.as_str(), source.reason), ("actor", EventProblem::Required));
}

#[test]
fn requests_have_a_greatest_number_of_events_and_bytes() {
    let small = event("a", "b");
    let many = |count| (0..count).fold(Wire::default(), |wire, _| wire.bytes(1, &small));
    assert_eq!(checked(&many(BATCH_EVENTS_MAX)).unwrap().spans.len(), BATCH_EVENTS_MAX);
    check(&many(BATCH_EVENTS_MAX + 1), &Err(BatchError::TooManyEvents));

    let large = Wire(event("a", "b")).bytes(38, &vec![0; 65_536 - 16]).0;
    let field = Wire::default().bytes(1, &large).0.len();
    let large = |count| (0..count).fold(Wire::default(), |wire, _| wire.bytes(1, &large));
    let fit = BATCH_BYTES_MAX / field;
    assert!(checked(&large(fit)).is_ok());
    check(&large(fit + 1), &Err(BatchError::TooLong(field * (fit + 1))));
}

#[test]
fn events_that_lie_together_are_not_copied() {
    let message = Bytes::from(Wire::default().number(2, 1).bytes(1, &event("a", "b")).number(3, 1).0);
    let batch = check_batch(message.clone(), &mut |_, _| {}).unwrap();
    assert_eq!(batch.payload.as_ptr(), message[2..].as_ptr());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_payload_is_the_events_in_order_wherever_the_other_fields_stand(
        actors in prop::collection::vec("[a-z]{1,30}", 1..20),
        key in prop::option::of((1u64..9, 1u64..9, any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let events: Vec<_> = actors.iter().map(|actor| event(actor, "x")).collect();
        let mut fields: Vec<_> = events.iter().map(|event| Wire::default().bytes(1, event).0).collect();
        let payload = fields.concat();
        if let Some((id, sequence, one, other)) = &key {
            fields.insert(one.index(fields.len() + 1), Wire::default().number(2, *id).0);
            fields.insert(other.index(fields.len() + 1), Wire::default().number(3, *sequence).0);
        }
        let mut seen = Vec::new();
        let batch = check_batch(Bytes::from(fields.concat()), &mut |index, view| {
            seen.push((index, view.bytes().to_vec()));
        }).unwrap();
        prop_assert!(seen.into_iter().eq(events.iter().cloned().enumerate()));
        prop_assert_eq!(&batch.payload[..], &payload[..]);
        prop_assert_eq!(batch.producer, key.map(|(id, sequence, ..)| ProducerKey { id, sequence }));
        let spans = batch.spans.iter();
        let found: Vec<_> = spans.clone().map(|span| &batch.payload[span.event_range()]).collect();
        prop_assert_eq!(found, events.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let whole: Vec<_> = spans.flat_map(|span| batch.payload[span.field_range()].to_vec()).collect();
        prop_assert_eq!(whole, payload);
    }

    #[test]
    fn joined_requests_are_one_request_of_all_their_events(
        requests in prop::collection::vec(prop::collection::vec("[a-z]{1,30}", 1..5), 1..9),
    ) {
        let wire = |actors: &Vec<String>| {
            actors.iter().fold(Wire::default(), |wire, actor| wire.bytes(1, &event(actor, "x")))
        };
        let parts: Vec<_> = requests.iter().map(|actors| checked(&wire(actors)).unwrap()).collect();
        let (joined, whole) = (CheckedBatch::join(parts), checked(&wire(&requests.concat())).unwrap());
        prop_assert_eq!(joined.payload, whole.payload);
        prop_assert_eq!(joined.spans, whole.spans);
        prop_assert_eq!(joined.unknown_fields, whole.unknown_fields);
    }

    #[test]
    fn random_requests_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_batch(Bytes::from(bytes), &mut |_, _| {}).ok();
    }
}
