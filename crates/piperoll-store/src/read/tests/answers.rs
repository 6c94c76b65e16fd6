//! Answers one by one: what is refused, what damage does, and what is not opened.

use super::{
    events::{Event, SECOND, START},
    world::{World, name, tenant},
};
use crate::{
    read::{
        Asker, Count, Halt, LogStatus, Order, Page, Position, PositionError, Query, ReadError,
        pinned::SegmentReader,
    },
    segment::{IndexBytes, TermSource},
    sim::Crash,
};
use piperoll_filter::{Filter, Subject};
use piperoll_format::units::{Sequence, UnixNanos};
use std::sync::{
    Arc,
    atomic::{
        AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
};

const LOG: &str = "logs/acme/a/00000000000000000000.log";
const INDEX: &str = "logs/acme/a/00000000000000000000.idx";

fn filter(text: &str) -> Filter {
    piperoll_filter::parse(text, START).unwrap()
}

fn query(text: &str, order: Order, limit: usize) -> Query {
    Query { tenant: tenant(), filter: filter(text), order, limit, bytes_max: usize::MAX, position: None }
}

fn page(world: &World, query: &Query) -> Result<Page, ReadError> {
    world.reader().query(query, &Asker::patient())
}

fn sequences(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.sequence.0).collect()
}

/// `frames` frames of one event each, a second apart, in class `a`; the actor's name is the sequence.
fn world(frames: u64) -> World {
    let world = World::new();
    append(&world, 0..frames);
    world
}

fn append(world: &World, actors: std::ops::Range<u64>) {
    for actor in actors {
        world.append("a", &[Event::of(&actor.to_string(), "x.y").build()]);
        world.tick(1);
    }
}

fn at(seconds: i64) -> UnixNanos {
    UnixNanos(START.0 + seconds * SECOND)
}

/// Flips a bit of the event of that actor, wherever it is.
fn flip(bytes: &mut [u8], actor: u64) {
    let event = Event::of(&actor.to_string(), "x.y").build();
    let place = bytes.windows(event.len()).position(|window| window == event).unwrap();
    bytes[place + 2] ^= 1;
}

#[test]
fn a_page_ends_with_an_error_at_a_damaged_frame_and_not_before() {
    let mut world = world(6);
    world.roll("a");
    world.seal();
    world.reopen(Crash::Everything, |disk| disk.corrupt(LOG, |bytes| flip(bytes, 2)).unwrap());
    assert_eq!(sequences(&page(&world, &query("", Order::NewestFirst, 3)).unwrap()), [5, 4, 3]);
    assert_eq!(sequences(&page(&world, &query("", Order::OldestFirst, 2)).unwrap()), [0, 1]);
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let error = page(&world, &query("", order, 6)).unwrap_err().to_string();
        assert!(error.starts_with(LOG), "{error}");
        assert!(error.contains("crc32") && error.contains("a@0 to a@6"), "{error}");
    }
    assert!(matches!(
        world.reader().get(&tenant(), &name("a"), Sequence(2)),
        Err(ReadError::DataLoss { .. })
    ));
    assert!(world.reader().get(&tenant(), &name("a"), Sequence(3)).is_ok());
    assert_eq!(
        sequences(
            &page(&world, &query("actor != \"2\" AND NOT actor = \"3\"", Order::OldestFirst, 9)).unwrap()
        ),
        [0, 1, 4, 5]
    );
}

#[test]
fn an_index_that_is_damaged_or_gone_changes_no_answer() {
    let mut world = world(6);
    world.roll("a");
    world.seal();
    let question = query("actor IN (\"1\", \"4\") OR (time:* AND reason:*)", Order::NewestFirst, 9);
    assert_eq!(sequences(&page(&world, &question).unwrap()), [4, 1]);
    let length = world.disk.contents(INDEX).unwrap().len();
    for place in (0..length).step_by(37) {
        world.reopen(Crash::Everything, |disk| disk.corrupt(INDEX, |bytes| bytes[place] ^= 4).unwrap());
        assert_eq!(sequences(&page(&world, &question).unwrap()), [4, 1], "byte {place} of {length}");
    }
    world.reopen(Crash::Everything, |disk| disk.corrupt(INDEX, Vec::clear).unwrap());
    assert_eq!(sequences(&page(&world, &question).unwrap()), [4, 1]);
}

#[test]
fn an_index_that_fails_under_a_reader_is_made_again_from_the_log() {
    let world = world(6);
    world.roll("a");
    world.seal();
    let mut pinned = world.log("a").snapshot()[0].pin().unwrap();
    let TermSource::Sealed(index) = &pinned.terms else { panic!("it is sealed") };
    let mut bytes = index.bytes().to_vec();
    bytes.truncate(bytes.len() / 2);
    pinned.terms = TermSource::Sealed(IndexBytes::made(bytes));
    let asker = Asker::patient();
    let mut reader = SegmentReader::new(pinned, &asker);
    let matches = reader.matches(&filter("actor IN (\"1\", \"4\")"), &(0..6)).unwrap();
    assert_eq!(matches.sure.iter().collect::<Vec<_>>(), [1, 4]);
    assert_eq!(reader.read(4).unwrap().sequence, Sequence(4));
}

#[test]
fn both_sides_of_a_hole_can_be_read_and_the_hole_is_no_answer() {
    let mut world = world(6);
    world.reopen(Crash::Everything, |disk| disk.corrupt(LOG, |bytes| flip(bytes, 2)).unwrap());
    assert!(world.reader().status().iter().any(|log| log.refusal.is_some()));
    let newest = page(&world, &query("", Order::NewestFirst, 3)).unwrap();
    assert_eq!(sequences(&newest), [5, 4, 3]);
    let oldest = page(&world, &query("", Order::OldestFirst, 2)).unwrap();
    assert_eq!(sequences(&oldest), [0, 1]);
    for mut question in [query("", Order::NewestFirst, 9), query("", Order::OldestFirst, 9)] {
        let error = page(&world, &question).unwrap_err().to_string();
        assert!(error.contains("a@2 to a@3"), "{error}");
        let first = if question.order == Order::NewestFirst { &newest } else { &oldest };
        question.position = Some(first.position.clone());
        assert!(matches!(page(&world, &question), Err(ReadError::DataLoss { .. })));
    }
    let count = |text| {
        let count = Count { tenant: tenant(), filter: filter(text), group_by: Vec::new(), limit: 9 };
        world.reader().count(&count, &Asker::patient()).map(|counted| counted.total)
    };
    assert!(matches!(count(""), Err(ReadError::DataLoss { .. })));
    assert_eq!(count("received < +1s OR received > +3s").unwrap(), 3);
    assert!(matches!(
        world.reader().get(&tenant(), &name("a"), Sequence(2)),
        Err(ReadError::DataLoss { .. })
    ));
}

#[test]
fn a_segment_that_has_vanished_is_missed() {
    let mut world = world(3);
    for more in [3..6, 6..9] {
        world.roll("a");
        append(&world, more);
    }
    let second = "logs/acme/a/00000000000000000003";
    world.seal();
    world.reopen(Crash::Everything, |disk| {
        for kind in ["log", "seal", "idx"] {
            crate::disk::Disk::unlink(disk, format!("{second}.{kind}").as_ref()).unwrap();
        }
    });
    assert_eq!(sequences(&page(&world, &query("", Order::NewestFirst, 3)).unwrap()), [8, 7, 6]);
    let error = page(&world, &query("", Order::NewestFirst, 9)).unwrap_err().to_string();
    assert!(error.contains("a@3 to a@6"), "{error}");
    assert!(matches!(page(&world, &query("", Order::OldestFirst, 9)), Err(ReadError::DataLoss { .. })));
}

#[test]
fn positions_of_other_questions_are_refused() {
    let world = world(3);
    let refused = |question: &Query, position: &Position| {
        let question = Query { position: Some(position.clone()), ..question.clone() };
        match page(&world, &question) {
            Err(ReadError::Position(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let question = query("actor:*", Order::NewestFirst, 1);
    let position = page(&world, &question).unwrap().position;
    let other = |what| PositionError::OtherQuestion { what };
    assert_eq!(refused(&query("", Order::NewestFirst, 1), &position), other("filter"));
    assert_eq!(refused(&query("actor:*", Order::OldestFirst, 1), &position), other("order"));
    assert_eq!(refused(&Query { tenant: name("b"), ..question.clone() }, &position), other("tenant"));

    let mut forged = position.clone();
    forged.bounds.insert(name("b"), Sequence(0));
    let expected = PositionError::NoSuchLog { tenant: tenant(), class: name("b") };
    assert_eq!(refused(&question, &forged), expected);
    let mut forged = position;
    forged.bounds.insert(name("a"), Sequence(4));
    let expected = PositionError::BeyondEnd { class: name("a"), found: Sequence(4), end: Sequence(3) };
    assert_eq!(refused(&question, &forged), expected);
}

#[test]
fn whoever_has_gone_is_not_worked_for() {
    let world = World::new();
    for _ in 0..8 {
        world.append("a", &vec![Event::of("a", "x.y").bytes(21, b"x").build(); 1_000]);
    }
    let looks = AtomicU32::new(0);
    let halt = || (looks.fetch_add(1, Relaxed) >= 3).then_some(Halt::Gone);
    let asker = Asker::new(&halt, &|| 0, u64::MAX);
    let asked = world.reader().query(&query("reason = nothing", Order::NewestFirst, 1), &asker);
    assert!(matches!(asked, Err(ReadError::Cancelled)));
    looks.store(0, Relaxed);
    let count =
        Count { tenant: tenant(), filter: filter("reason = nothing"), group_by: Vec::new(), limit: 1 };
    assert!(matches!(world.reader().count(&count, &asker), Err(ReadError::Cancelled)));
}

#[test]
fn a_segment_that_was_open_once_is_ruled_out_by_its_terms() {
    let world = World::new();
    for (actor, seconds) in [("a", 0), ("b", 10), ("c", 20)] {
        let time = Event::default().number(1, (START.0 / SECOND).unsigned_abs() + seconds).into_bytes();
        world.append("a", &vec![Event::of(actor, "x.y").bytes(3, &time).build(); 3]);
        world.roll("a");
    }
    world.seal();
    let asked = |text: &str| {
        let asker = Asker::patient();
        let page = world.reader().query(&query(text, Order::NewestFirst, 100), &asker).unwrap();
        let work = asker.work();
        (page.records.len(), work.segments, work.ruled_out_by_terms, work.indexes)
    };
    // Nobody has opened them: each is, and tells its actors.
    assert_eq!(world.keeper().term_set_bytes(), 0);
    assert_eq!(asked("actor = nobody"), (0, 3, 3, 0));
    let held = world.keeper().term_set_bytes();
    assert!(held > 0);
    assert_eq!(asked("actor = nobody"), (0, 3, 3, 0));
    assert_eq!(world.keeper().term_set_bytes(), held);
    assert_eq!(asked("actor = b"), (3, 3, 2, 1));
    assert_eq!(asked("actor IN (a, c) AND action = x.y"), (6, 3, 1, 2));
    assert_eq!(asked("stage:* OR actor = a"), (3, 3, 2, 1));
    assert_eq!(asked("actor != b AND time:*"), (6, 3, 0, 3));
    assert_eq!(asked("outcome = success"), (0, 3, 3, 0));
    assert_eq!(asked("NOT outcome = success"), (9, 3, 0, 3));
    // 10 s after the start.
    assert_eq!(asked("time = 2023-11-14T22:13:30Z"), (3, 3, 2, 1));
    assert_eq!(asked("time > 2023-11-14T22:13:40Z"), (0, 3, 3, 0));
}

#[test]
fn no_more_segments_stay_open_than_may() {
    let world = World::new();
    for number in 0..6 {
        world.append("a", &[Event::of(&number.to_string(), "x.y").build()]);
        world.roll("a");
    }
    world.seal();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::NewestFirst] {
        assert_eq!(page(&world, &query("", order, 9)).unwrap().records.len(), 6);
        assert_eq!(world.keeper().open_segments(), 2);
    }
    world.sweep_one("a").unwrap();
    assert_eq!(page(&world, &query("", Order::OldestFirst, 2)).unwrap().records.len(), 2);
    world.sweep_one("a").unwrap();
    assert!(world.keeper().open_segments() <= 1, "a dropped segment is closed");
}

#[test]
fn an_answer_reads_no_more_bytes_and_takes_no_longer_than_it_may() {
    let world = World::new();
    let event = Event::of("a", "x.y").bytes(21, b"y").build();
    world.append("a", &vec![event.clone(); 100]);
    let bytes = event.len() as u64;
    let count = Count { tenant: tenant(), filter: filter("NOT reason = x"), group_by: Vec::new(), limit: 1 };
    let counted = |max| world.reader().count(&count, &Asker::new(&|| None, &|| 0, max));
    assert_eq!(counted(100 * bytes).unwrap().total, 100);
    let error = counted(100 * bytes - 1).unwrap_err();
    assert!(matches!(error, ReadError::TooMuchToRead { max } if max == 100 * bytes - 1), "{error}");
    let late = Asker::new(&|| Some(Halt::Late), &|| 0, u64::MAX);
    assert!(matches!(world.reader().count(&count, &late), Err(ReadError::Late)));
}

#[test]
fn counts_by_what_has_no_groups_are_refused() {
    let world = world(1);
    let error = |subjects: &[&str]| {
        let group_by = subjects.iter().map(|name| Subject::parse(name).unwrap()).collect();
        let count = Count { tenant: tenant(), filter: Filter::all(), group_by, limit: 9 };
        world.reader().count(&count, &Asker::patient()).unwrap_err().to_string()
    };
    assert!(error(&["received"]).contains("cannot count by received"));
    assert!(error(&["stage", "time"]).contains("cannot count by time"));
    assert!(error(&["attributes"]).contains("attr.region"));
    assert!(error(&["stage", "actor", "class"]).contains("at most two"));
}

/// First sequences of the segments that somebody has opened since the start.
fn opened(world: &World) -> Vec<u64> {
    let log = world.log("a");
    let segments = log.snapshot();
    segments
        .iter()
        .filter(|segment| segment.received_range().is_some())
        .map(|segment| segment.first().0)
        .collect()
}

#[test]
fn segments_are_opened_only_when_they_are_needed() {
    let mut world = world(3);
    for more in [3..6, 6..9, 9..12] {
        world.roll("a");
        world.seal();
        append(&world, more);
    }
    world.restart();
    assert_eq!(opened(&world), [9], "a start reads the active segment");
    page(&world, &query("", Order::NewestFirst, 3)).unwrap();
    let now = world.reader().position_now(&tenant(), &Filter::all());
    let tail = Query { position: Some(now.clone()), ..query("", Order::OldestFirst, 9) };
    assert!(page(&world, &tail).unwrap().exhausted);
    assert!(!world.reader().is_behind(&now));
    assert_eq!(opened(&world), [9]);
    page(&world, &query("", Order::NewestFirst, 4)).unwrap();
    assert_eq!(opened(&world), [6, 9]);
    assert_eq!(sequences(&page(&world, &query("received < +2s", Order::OldestFirst, 9)).unwrap()), [0, 1]);
}

#[test]
fn a_tail_begins_at_a_time_and_wakes() {
    let world = world(4);
    world.roll("a");
    append(&world, 4..6);
    let wakes = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&wakes);
    world.reader().subscribe(Box::new(move || {
        seen.fetch_add(1, SeqCst);
    }));
    let from = |seconds| {
        let position = world.reader().position_at_received(&tenant(), &Filter::all(), at(seconds)).unwrap();
        let question = Query { position: Some(position), ..query("", Order::OldestFirst, 99) };
        sequences(&page(&world, &question).unwrap())
    };
    assert_eq!(from(-5), [0, 1, 2, 3, 4, 5]);
    assert_eq!(from(3), [3, 4, 5]);
    assert_eq!(from(4), [4, 5]);
    assert_eq!(from(99), [0; 0]);
    assert_eq!(wakes.load(SeqCst), 0);
    append(&world, 6..7);
    assert!(wakes.load(SeqCst) > 0);
}

#[test]
fn status_tells_what_each_log_holds() {
    let world = world(3);
    world.roll("a");
    world.seal();
    append(&world, 3..5);
    world.sweep_one("a");
    world.roll("a");
    append(&world, 5..6);
    let bytes = world.log("a").snapshot().iter().map(|segment| segment.length().unwrap().0).sum();
    let expected = LogStatus {
        tenant: tenant(),
        class: name("a"),
        first: Sequence(3),
        end: Sequence(6),
        sealed_segments: 0,
        unsealed_segments: 1,
        bytes,
        last_received: Some(at(5)),
        refusal: None,
        unreadable: None,
        losses: Vec::new(),
    };
    assert_eq!(world.reader().status(), [expected]);
}
