//! Counts of whole segments that are known without opening them: the same as those of segments that are opened.

use super::{
    events::{Event, SECOND, START},
    world::{World, tenant},
};
use crate::{
    read::{Asker, Bars, Count, Counted, Histogram, ReadError, Time, Work},
    sim::Crash,
};
use piperoll_filter::{Filter, Subject};
use piperoll_format::units::UnixNanos;

/// The second segment, and the one behind the four.
const LOG: &str = "logs/acme/a/00000000000000000003.log";
const ACTIVE_LOG: &str = "logs/acme/a/00000000000000000012.log";

/// Four sealed segments, 10 s apart, of three events each, with two stages and one event that has none.
fn world() -> World {
    let world = World::new();
    for number in 0..4_u64 {
        segment(&world, number);
    }
    world
}

fn segment(world: &World, number: u64) {
    let seconds = (START.0 / SECOND).unsigned_abs() + 10 * number;
    let time = Event::default().number(1, seconds).into_bytes();
    let event = |stage: Option<&str>| {
        let event = Event::of(&format!("actor-{number}"), "x.y").bytes(3, &time).number(7, number);
        stage.into_iter().fold(event, |event, stage| event.bytes(6, stage.as_bytes())).build()
    };
    world.append("a", &[event(Some("build")), event(Some("test")), event(None)]);
    world.roll("a");
    world.seal();
    world.tick(10);
}

fn count(world: &World, filter: &str, by: &[&str]) -> Result<(Counted, Work), ReadError> {
    let filter = piperoll_filter::parse(filter, START).unwrap();
    let group_by = by.iter().map(|name| Subject::parse(name).unwrap()).collect();
    let count = Count { tenant: tenant(), filter, group_by, limit: 99 };
    let asker = Asker::patient();
    let counted = world.reader().count(&count, &asker)?;
    Ok((counted, asker.work()))
}

fn groups(counted: &Counted) -> Vec<(Option<&str>, u64)> {
    counted.groups.iter().map(|group| (group.values[0].as_deref(), group.count)).collect()
}

/// Asks twice: the first time as many segments are opened as is said, the second time none.
fn check(world: &World, filter: &str, by: &[&str], opened: u64) -> Counted {
    let (first, work) = count(world, filter, by).unwrap();
    assert_eq!(work.indexes, opened, "{filter} by {by:?}");
    let (again, work) = count(world, filter, by).unwrap();
    assert_eq!((&again, work.indexes), (&first, 0), "{filter} by {by:?}");
    again
}

#[test]
fn whole_segments_are_counted_without_opening_them_again() {
    let mut world = world();
    let stages = [(Some("build"), 4), (None, 4), (Some("test"), 4)];
    let by_stage = check(&world, "", &["stage"], 4);
    assert_eq!((by_stage.total, groups(&by_stage)), (12, vec![stages[1], stages[0], stages[2]]));
    assert_eq!(check(&world, "", &[], 0).total, 12);
    assert_eq!(groups(&check(&world, "", &["class"], 0)), [(Some("a"), 12)]);
    assert_eq!(groups(&check(&world, "", &["outcome"], 4)).len(), 4);
    // The first of the segments was received at the start, and each claims the time of its own.
    assert_eq!(check(&world, "received < +15s", &["stage"], 0).total, 6);
    assert_eq!(check(&world, "time >= 2023-11-14T22:13:30Z", &["stage"], 0).total, 9);
    assert_eq!(check(&world, "time:* AND class = a", &["actor"], 4).total, 12);
    assert_eq!(check(&world, "NOT stage = x AND NOT class = b", &["stage"], 4).total, 12);

    // What comes is opened once, and nothing of what is not sealed is held.
    segment(&world, 4);
    world.append("a", &[Event::of("late", "x.y").build()]);
    let (counted, work) = count(&world, "", &["stage"]).unwrap();
    assert_eq!((counted.total, work.indexes), (16, 2));
    let (counted, work) = count(&world, "", &["stage"]).unwrap();
    assert_eq!((counted.total, work.indexes), (16, 1));

    let held = world.keeper().term_set_bytes();
    world.sweep_one("a").unwrap();
    assert!(world.keeper().term_set_bytes() < held, "what is swept is forgotten");
    let (counted, work) = count(&world, "", &["stage"]).unwrap();
    assert_eq!((counted.total, work.indexes), (13, 1));
    assert_eq!(groups(&counted), [(None, 5), (Some("build"), 4), (Some("test"), 4)]);

    world.restart();
    assert_eq!(world.keeper().term_set_bytes(), 0);
    let (counted, work) = count(&world, "", &["stage"]).unwrap();
    assert_eq!((counted.total, work.indexes), (13, 5));
}

#[test]
fn part_of_a_segment_is_no_whole() {
    let world = world();
    check(&world, "", &["stage"], 4);
    for (filter, total, opened) in
        [("stage = build", 4, 4), ("time > 2023-11-14T22:13:30Z AND stage:*", 4, 2), ("outcome != 0", 9, 4)]
    {
        let (counted, work) = count(&world, filter, &["stage"]).unwrap();
        assert_eq!((counted.total, work.indexes), (total, opened), "{filter}");
    }
    // Two fields, and one of many values, are never held.
    for by in [&["stage", "actor"][..], &["id"]] {
        assert_eq!(count(&world, "", by).unwrap().1.indexes, 4, "{by:?}");
        assert_eq!(count(&world, "", by).unwrap().1.indexes, 4, "{by:?}");
    }
}

#[test]
fn what_cannot_be_read_is_not_counted_from_memory() {
    let mut world = world();
    world.reopen(Crash::Everything, |disk| disk.corrupt(LOG, Vec::clear).unwrap());
    for _ in 0..2 {
        assert!(matches!(count(&world, "", &["stage"]), Err(ReadError::DataLoss { .. })));
        assert!(matches!(count(&world, "", &[]), Err(ReadError::DataLoss { .. })));
    }
}

#[test]
fn segments_of_a_log_in_trouble_are_opened_for_every_count() {
    let mut world = world();
    for actor in ["x", "y", "z"] {
        world.append("a", &[Event::of(actor, "x.y").build()]);
    }
    let damaged = Event::of("y", "x.y").build();
    world.reopen(Crash::Everything, |disk| {
        let flip = |bytes: &mut Vec<u8>| {
            let place = bytes.windows(damaged.len()).position(|window| window == damaged).unwrap();
            bytes[place + 2] ^= 1;
        };
        disk.corrupt(ACTIVE_LOG, flip).unwrap();
    });
    assert!(world.reader().status().iter().any(|log| log.refusal.is_some()));
    for _ in 0..3 {
        let (counted, work) = count(&world, "received < +35s", &["stage"]).unwrap();
        assert_eq!((counted.total, work.indexes), (12, 4));
        assert!(matches!(count(&world, "", &["stage"]), Err(ReadError::DataLoss { .. })));
    }
}

#[test]
fn whole_segments_of_one_bucket_are_not_opened_for_a_histogram() {
    let world = world();
    count(&world, "", &["stage"]).unwrap();
    let asked = |time: Time, seconds: &[i64], split_by: Option<&str>| -> (Bars, u64) {
        let borders = seconds.iter().map(|second| UnixNanos(START.0 + second * SECOND)).collect();
        let split_by = split_by.map(|name| Subject::parse(name).unwrap());
        let (tenant, filter) = (tenant(), Filter::all());
        let histogram = Histogram { tenant, filter, time, borders, split_by, split_limit: 9 };
        let asker = Asker::patient();
        (world.reader().histogram(&histogram, &asker).unwrap(), asker.work().indexes)
    };
    for time in [Time::Received, Time::Claimed] {
        let (bars, opened) = asked(time, &[0, 5, 15, 25], None);
        assert_eq!((bars.counts, opened), (vec![3, 3, 3], 0), "{time:?}");
        let (bars, opened) = asked(time, &[0, 25], Some("stage"));
        assert_eq!((bars.counts, opened), (vec![9], 0));
        let series: Vec<_> = bars.split.unwrap().series.into_iter().map(|series| series.counts[0]).collect();
        assert_eq!(series, [3, 3, 3]);
        assert_eq!(asked(time, &[0, 25], Some("actor")).1, 3, "nobody has counted by that yet");
    }
}
