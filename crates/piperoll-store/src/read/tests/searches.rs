//! Questions that only the events' bytes can answer: in bulk as one by one, and no damage is passed over.

use super::{
    events::{Event, START, event, filter},
    world::{World, tenant},
};
use crate::{
    read::{Asker, Count, Order, Query, ReadError, pinned::SegmentReader},
    sim::Crash,
};
use piperoll_filter::{Filter, Subject};
use piperoll_format::units::Sequence;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const LOG: &str = "logs/acme/a/00000000000000000000.log";
/// More than a walk decides at first, and more than one thread does by itself.
const EVENTS: u64 = 9_000;

fn query(text: &str, order: Order, limit: usize) -> Query {
    let filter = piperoll_filter::parse(text, START).unwrap();
    Query { tenant: tenant(), filter, order, limit, bytes_max: usize::MAX, position: None }
}

fn count(world: &World, text: &str, asker: &Asker<'_>) -> Result<u64, ReadError> {
    let filter = piperoll_filter::parse(text, START).unwrap();
    let count = Count { tenant: tenant(), filter, group_by: Vec::new(), limit: 1 };
    world.reader().count(&count, asker).map(|counted| counted.total)
}

/// Whether the event has a reason that is searched for: at the borders of what is decided at one time, in a row, and
/// now and then.
fn is_hit(number: u64) -> bool {
    [0, 127, 128, 383, 384, 1_023, 1_024, 1_025, 8_063, 8_064].contains(&number)
        || [1, 128, 129, 384, 385, 1_024, 1_025, 8_064, 8_065].contains(&(EVENTS - number))
        || (4_000..4_020).contains(&number)
        || number.is_multiple_of(617)
}

fn is_other(number: u64) -> bool {
    number % 1_000 == 7
}

/// Two full segments of one frame and an active one, in class `a`.
fn world() -> World {
    let world = World::new();
    for _ in 0..3 {
        let event = |number| {
            let event = Event::of(if is_other(number) { "other" } else { "one" }, "x.y");
            event.bytes(21, if is_hit(number) { b"was a hit" } else { b"was none" }).build()
        };
        world.append("a", &(0..EVENTS).map(event).collect::<Vec<_>>());
        world.tick(1);
    }
    world.seal();
    world
}

#[test]
fn pages_of_a_search_bring_every_match_once_and_in_order() {
    let world = world();
    let expected = |matches: fn(u64) -> bool| (0..3 * EVENTS).filter(move |number| matches(number % EVENTS));
    let either: Vec<u64> = expected(|number| is_hit(number) || is_other(number)).collect();
    let hits: Vec<u64> = expected(is_hit).collect();
    for (text, expected) in [("reason ~ hit", &hits), ("reason ~ hit OR actor = other", &either)] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let mut expected = expected.clone();
            if order == Order::NewestFirst {
                expected.reverse();
            }
            for limit in [1, 7, usize::MAX] {
                let (mut found, mut question) = (Vec::new(), query(text, order, limit));
                loop {
                    let page = world.reader().query(&question, &Asker::patient()).unwrap();
                    found.extend(page.records.iter().map(|record| record.sequence.0));
                    if page.exhausted {
                        break;
                    }
                    question.position = Some(page.position);
                }
                assert_eq!(found, expected, "{text} {order:?} {limit}");
            }
        }
        assert_eq!(count(&world, text, &Asker::patient()).unwrap(), expected.len() as u64);
    }
}

/// A tail with much to look through once got nothing but an error, and began again where it had begun.
#[test]
fn pages_that_end_early_go_on_and_bring_every_match_once() {
    let world = world();
    let expected: Vec<u64> = (0..3 * EVENTS).filter(|number| is_hit(number % EVENTS)).collect();
    for (enough, bytes) in [(40, u64::MAX), (u64::MAX, 100_000)] {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut question = query("reason ~ hit", Order::OldestFirst, usize::MAX);
        loop {
            // A clock that shows how often it was looked at.
            let looks = AtomicU64::new(0);
            let clock = || looks.fetch_add(1, Relaxed);
            let asker = Asker::new(&|| None, &clock, bytes).enough_at(enough);
            let page = world.reader().query(&question, &asker).unwrap();
            pages += 1;
            found.extend(page.records.iter().map(|record| record.sequence.0));
            if page.exhausted {
                break;
            }
            assert_ne!(question.position.as_ref(), Some(&page.position), "each page leads on");
            question.position = Some(page.position);
        }
        assert_eq!(found, expected);
        assert!(pages > 5, "{pages}");
    }
}

#[test]
fn a_page_of_common_matches_reads_few_events() {
    let world = world();
    let asker = Asker::patient();
    let page = world.reader().query(&query("reason ~ none", Order::NewestFirst, 10), &asker).unwrap();
    assert_eq!(page.records.len(), 10);
    assert!(asker.work().events < 300, "{:?}", asker.work());
}

#[test]
fn events_without_the_field_are_not_read() {
    let world = World::new();
    for _ in 0..2 {
        let event = |number: u64| {
            let event = Event::of("one", "x.y");
            if number.is_multiple_of(10) { event.bytes(21, b"was a hit").build() } else { event.build() }
        };
        world.append("a", &(0..1_000).map(event).collect::<Vec<_>>());
        world.tick(1);
    }
    world.seal();
    let cases = [
        ("reason ~ hit", 200, 200),
        ("NOT reason ~ hit", 1_800, 200),
        ("reason:*", 200, 0),
        ("NOT reason:*", 1_800, 0),
        ("run = 7*", 0, 0),
        ("attr.region ~ eu", 0, 0),
    ];
    for (text, found, read) in cases {
        let asker = Asker::patient();
        assert_eq!(count(&world, text, &asker).unwrap(), found, "{text}");
        assert_eq!(asker.work().events, read, "{text}");
    }
    let asker = Asker::patient();
    let by = vec![Subject::parse("reason").unwrap()];
    let by_reason = Count { tenant: tenant(), filter: Filter::all(), group_by: by, limit: 9 };
    let groups = world.reader().count(&by_reason, &asker).unwrap().groups;
    let groups: Vec<_> = groups.iter().map(|group| (group.values[0].as_deref(), group.count)).collect();
    assert_eq!(groups, [(None, 1_800), (Some("was a hit"), 200)]);
    assert_eq!(asker.work().events, 200);
}

/// Whichever is less work, and the same answer.
#[test]
fn a_few_events_are_read_to_group_them_and_many_are_not() {
    let world = World::new();
    let event = |number: u64| {
        let stage: &[u8] = if number % 100 == 1 { b"rare" } else { b"often" };
        Event::of(&format!("actor-{}", number % 250), "x.y").bytes(6, stage).build()
    };
    world.append("a", &(0..1_000).map(event).collect::<Vec<_>>());
    world.roll("a");
    world.seal();
    for (text, groups, read) in [("stage = rare", 5, 10), ("stage = often", 250, 0)] {
        let asker = Asker::patient();
        let filter = piperoll_filter::parse(text, START).unwrap();
        let group_by = vec![Subject::parse("actor").unwrap()];
        let count = Count { tenant: tenant(), filter, group_by, limit: 1_000 };
        let counted = world.reader().count(&count, &asker).unwrap();
        assert_eq!((counted.groups.len(), asker.work().events), (groups, read), "{text}");
        for group in &counted.groups {
            let actor = group.values[0].as_deref().unwrap();
            let expected = (0..1_000).filter(|number| {
                format!("actor-{}", number % 250) == actor && (number % 100 == 1) == (text == "stage = rare")
            });
            assert_eq!(group.count, expected.count() as u64, "{text}: {actor}");
        }
    }
}

#[test]
fn a_search_reads_no_more_bytes_than_it_may() {
    let world = world();
    let asker = Asker::patient();
    assert_eq!(count(&world, "reason ~ nothing", &asker).unwrap(), 0);
    let work = asker.work();
    assert_eq!(work.events, 3 * EVENTS);
    let of = |max| Asker::new(&|| None, &|| 0, max);
    assert_eq!(count(&world, "reason ~ nothing", &of(work.bytes)).unwrap(), 0);
    let refused = |error: ReadError| matches!(error, ReadError::TooMuchToRead { .. });
    assert!(refused(count(&world, "reason ~ nothing", &of(work.bytes - 1)).unwrap_err()));
    let asked = world.reader().query(&query("reason ~ nothing", Order::NewestFirst, 1), &of(work.bytes - 1));
    assert!(refused(asked.unwrap_err()));
}

/// Four events to a frame: what a search needs is the bytes of each event that it passes, whether it matches or not,
/// and the head of a frame only for what it returns.
fn damaged(place: &[u8], shift: usize) -> World {
    let mut world = World::new();
    for frame in 0..3 {
        let event = |number: u64| {
            let reason = if number == 3 { "was a hit" } else { "was none" };
            Event::of(&format!("actor-{frame}-{number}"), "x.y").bytes(21, reason.as_bytes()).build()
        };
        world.append("a", &(0..4).map(event).collect::<Vec<_>>());
    }
    world.roll("a");
    world.seal();
    world.reopen(Crash::Everything, |disk| {
        let flip = |bytes: &mut Vec<u8>| {
            let at = bytes.windows(place.len()).position(|window| window == place).unwrap();
            bytes[at + shift] ^= 1;
        };
        disk.corrupt(LOG, flip).unwrap();
    });
    world
}

#[test]
fn a_damaged_event_that_does_not_match_ends_a_search_where_it_stands() {
    // The sixth event.
    let world = damaged(b"actor-1-1", 8);
    assert!(matches!(count(&world, "reason ~ hit", &Asker::patient()), Err(ReadError::DataLoss { .. })));
    assert_eq!(count(&world, "reason ~ hit AND NOT actor = actor-1-1", &Asker::patient()).unwrap(), 3);
    for (order, before) in [(Order::NewestFirst, vec![11, 7]), (Order::OldestFirst, vec![3])] {
        let page = |limit| world.reader().query(&query("reason ~ hit", order, limit), &Asker::patient());
        let found = page(before.len()).unwrap();
        assert_eq!(found.records.iter().map(|record| record.sequence.0).collect::<Vec<_>>(), before);
        let error = page(before.len() + 1).unwrap_err().to_string();
        assert!(error.starts_with(LOG), "{error}");
    }
}

#[test]
fn a_damaged_head_of_a_frame_ends_only_what_returns_its_events() {
    let world = damaged(b"127.0.0.1:1", 0);
    assert_eq!(count(&world, "reason ~ hit", &Asker::patient()).unwrap(), 3);
    let page =
        |limit| world.reader().query(&query("reason ~ hit", Order::NewestFirst, limit), &Asker::patient());
    assert_eq!(page(2).unwrap().records.len(), 2);
    assert!(matches!(page(3), Err(ReadError::DataLoss { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn events_are_decided_in_bulk_as_one_by_one(
        frames in prop::collection::vec(prop::collection::vec(event(), 1..4), 1..12),
        filters in prop::collection::vec(filter(), 1..8),
        is_sealed in any::<bool>(),
    ) {
        let world = World::new();
        for events in &frames {
            world.append("a", events);
            world.tick(1);
        }
        if is_sealed {
            world.roll("a");
            world.seal();
        }
        for segment in world.log("a").snapshot().iter() {
            let asker = Asker::patient();
            let mut reader = SegmentReader::new(segment.pin().unwrap(), &asker);
            let ordinals: Vec<u32> = reader.ordinals(&(Sequence(0)..Sequence(u64::MAX))).collect();
            for filter in &filters {
                let decided = reader.decide(filter, filter.needles().as_ref(), &ordinals).unwrap();
                prop_assert!(decided.undecided.is_empty());
                for &ordinal in &ordinals {
                    let expected = reader.is_match(filter, ordinal).unwrap();
                    prop_assert_eq!(decided.matches.contains(ordinal), expected, "{} {}", filter, ordinal);
                }
            }
        }
    }
}
