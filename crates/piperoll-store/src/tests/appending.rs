//! Appending: what is acknowledged, and what refuses.

use super::world::{FIRST_LOG, HOUR, SECOND, START, World, name, request, small_options};
use crate::sim::{CallKind, Effect, Fault};
use crate::{AppendError, Batch, Classes, Options};
use rustix::io::Errno;
use std::sync::Arc;

fn each(classes: &[&str], of_event: &[u16]) -> Classes {
    Classes::Each { classes: classes.iter().map(|class| name(class)).collect(), of_event: of_event.to_vec() }
}

#[test]
fn sequences_are_dense_in_the_order_of_the_acks() {
    let world = World::new();
    let receipt = world.append(request(&["x", "y"], 0, 0)).unwrap();
    assert_eq!((receipt.ranges[0].first.0, receipt.ranges[0].end.0), (0, 2));
    assert!(receipt.ranges[0].positions.is_empty() && !receipt.repeated);
    assert_eq!(world.put("z"), 2);
    assert_eq!(world.actors("a"), ["x", "y", "z"]);
}

#[test]
fn requests_that_wait_together_share_one_sync() {
    let world = World::new();
    let outcomes: Vec<_> =
        (0..20).map(|_| world.submit(request(&["x"], 0, 0), Classes::One(name("a")))).collect();
    world.keeper().commit_all();
    assert!(outcomes.iter().all(|outcome| outcome.lock().unwrap()[0].is_ok()));
    let counts = world.keeper().counts();
    assert_eq!((counts.syncs, counts.frames, counts.appends), (1, 20, 20));
}

#[test]
fn messages_of_one_producer_that_wait_together_become_one_frame() {
    let world = World::new();
    let one = Classes::One(name("a"));
    let outcomes: Vec<_> =
        (1..=9).map(|sequence| world.submit(request(&["p", "q"], 7, sequence), one.clone())).collect();
    world.submit(request(&["r"], 8, 1), one);
    world.keeper().commit_all();
    assert_eq!(world.keeper().counts().frames, 2);
    let receipts = outcomes.iter().map(|outcome| outcome.lock().unwrap().pop().unwrap().unwrap());
    let firsts: Vec<u64> = receipts.map(|receipt| receipt.ranges[0].first.0).collect();
    // The shorter message of the other producer is due first.
    assert_eq!(firsts, (0..9).map(|place| 1 + 2 * place).collect::<Vec<u64>>());
    assert_eq!(world.actors("a").len(), 19);
}

/// A frame of requests without a number is one message, and each request still gets the range of its own events.
#[test]
fn what_one_connection_sent_without_a_producer_becomes_one_frame() {
    let world = World::new();
    let batch = |actors: &[&str]| World::batch(request(actors, 0, 0), Classes::One(name("a")));
    let first = batch(&["p", "q"]);
    let same = |actors: &[&str]| Batch { sender: Arc::clone(&first.sender), ..batch(actors) };
    let batches = [same(&["p", "q"]), batch(&["other"]), same(&["r"]), same(&["s", "t"])];
    let outcomes = batches.map(|batch| world.submit_batch(batch));
    world.keeper().commit_all();
    assert_eq!(world.keeper().counts().frames, 2);
    let ranges = outcomes.map(|outcome| outcome.lock().unwrap().pop().unwrap().unwrap().ranges.remove(0));
    let lengths = ranges.each_ref().map(|range| range.end.0 - range.first.0);
    assert_eq!(lengths, [2, 1, 1, 2]);
    let actors = world.actors("a");
    for (range, expected) in ranges.iter().zip([&["p", "q"][..], &["other"], &["r"], &["s", "t"]]) {
        let own = (0..).zip(&actors).filter(|(at, _)| (range.first.0..range.end.0).contains(at));
        assert!(own.map(|(_, actor)| actor.as_str()).eq(expected.iter().copied()), "{actors:?}");
    }
}

#[test]
fn a_batch_of_several_classes_has_a_range_in_each() {
    let world = World::new();
    let receipt =
        world.append_to(request(&["0", "1", "2", "3"], 0, 0), each(&["b", "a"], &[0, 1, 0, 1])).unwrap();
    let ranges: Vec<_> = receipt
        .ranges
        .iter()
        .map(|range| (range.class.as_str(), range.end.0, range.positions.clone()))
        .collect();
    assert_eq!(ranges, [("a", 2, vec![1, 3]), ("b", 2, vec![0, 2])]);
    assert_eq!(world.actors("a"), ["1", "3"]);
    assert_eq!(world.actors("b"), ["0", "2"]);
}

#[test]
fn a_queue_that_is_full_refuses_and_takes_nothing() {
    let world = World::with(Options { queue_bytes_max: 400, ..small_options() });
    let classes = || each(&["a", "b"], &[0, 1]);
    let first = world.submit(request(&["0", "1"], 0, 0), classes());
    let second = world.submit(request(&["0"], 0, 0), Classes::One(name("b")));
    let third = world.submit(request(&["0", "1"], 0, 0), classes());
    let refused = third.lock().unwrap().pop().unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    world.keeper().commit_all();
    assert!(first.lock().unwrap()[0].is_ok() && second.lock().unwrap()[0].is_ok());
    assert_eq!((world.actors("a").len(), world.actors("b").len()), (1, 2));
}

#[test]
fn received_never_falls_and_does_not_follow_a_clock_that_jumps_ahead() {
    let world = World::new();
    let received = |world: &World| world.append(request(&["x"], 0, 0)).unwrap().ranges[0].received.0;
    assert_eq!(received(&world), START);
    world.clock.jump(-HOUR);
    assert_eq!(received(&world), START);
    world.clock.jump(1_000 * HOUR);
    world.clock.pass(SECOND);
    assert_eq!(received(&world), START + SECOND);
    assert!(world.keeper().clock_ahead_ns().is_some());
}

#[test]
fn a_failed_sync_stops_the_log_and_no_other() {
    let world = World::new();
    world.put("x");
    world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::SyncData).on(FIRST_LOG));
    let error = world.append(request(&["y"], 0, 0)).unwrap_err();
    assert!(
        matches!(&error, AppendError::Stopped { .. }) && error.to_string().contains("sync failed at offset"),
        "{error}"
    );
    assert!(matches!(world.append(request(&["z"], 0, 0)), Err(AppendError::Stopped { .. })));
    assert_eq!(world.actors("a"), ["x"], "what was not synced is not served");
    assert!(world.append_to(request(&["b"], 0, 0), Classes::One(name("b"))).is_ok());
}

#[test]
fn a_full_disk_refuses_and_resumes_by_itself() {
    let world = World::new();
    world.put("x");
    world.disk.set_capacity(Some(world.disk.used()));
    let mut stored = 1;
    let error = loop {
        match world.append(request(&["x"], 0, 0)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NoSpace { .. }), "{error}");
    assert!(stored > 1, "the preallocated room is used to its end");
    world.disk.set_capacity(None);
    assert_eq!(world.put("y"), stored);
    assert_eq!(world.actors("a").len() as u64, stored + 1);
}

#[test]
fn a_write_that_found_no_room_leaves_nothing_behind() {
    let world = World::new();
    world.put("x");
    let fault = Fault::next(Effect::ShortWrite(600, Errno::NOSPC)).kind(CallKind::Write).on(FIRST_LOG);
    world.disk.inject(fault);
    let outcomes: Vec<_> =
        (0..6).map(|_| world.submit(request(&["lost"], 0, 0), Classes::One(name("a")))).collect();
    world.keeper().commit_all();
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome.lock().unwrap()[0], Err(AppendError::NoSpace { .. })))
    );
    // As long as the lost ones: theirs would follow it, were they still there.
    world.put("kept");
    let mut after = world.on(world.disk.crash(crate::sim::Crash::Everything));
    after.open().unwrap();
    assert_eq!(after.actors("a"), ["x", "kept"]);
}

/// A roll found no room after the next segment had its name; appends went on in the old segment, behind the
/// end that the next one gave it, and were lost at the next start.
#[test]
fn a_roll_that_fails_half_way_is_finished_before_anything_is_appended() {
    let world = World::new();
    world.put("x");
    world.disk.inject(Fault::next(Effect::DoneBut(Errno::NOSPC)).kind(CallKind::SyncDir).on("logs/t/a"));
    assert!(world.keeper().seal_now(None, None).is_err());
    assert_eq!(world.put("y"), 1);
    for crash in [crate::sim::Crash::Nothing, crate::sim::Crash::Everything] {
        let mut after = world.on(world.disk.crash(crash));
        after.open().unwrap();
        assert_eq!(after.actors("a"), ["x", "y"]);
        assert_eq!(after.put("z"), 2);
    }
}

#[test]
fn more_logs_than_there_may_be_are_refused() {
    let world = World::with(Options { logs_max: 2, ..small_options() });
    for class in ["a", "b"] {
        world.append_to(request(&["x"], 0, 0), Classes::One(name(class))).unwrap();
    }
    let error = world.append_to(request(&["x"], 0, 0), Classes::One(name("c"))).unwrap_err();
    assert!(matches!(error, AppendError::TooManyLogs { max: 2, .. }));
}

#[test]
fn a_frame_longer_than_a_segment_gets_one_of_its_own() {
    let world = World::with(Options { segment_bytes_max: 2_048, ..small_options() });
    let actors = vec!["a-rather-long-name-of-an-actor"; 100];
    for _ in 0..3 {
        world.append(request(&actors, 0, 0)).unwrap();
        world.put("x");
    }
    assert_eq!(world.actors("a").len(), 303);
}

#[test]
fn nothing_is_taken_while_closing_and_what_was_taken_is_finished() {
    let world = World::new();
    let taken = world.submit(request(&["x"], 0, 0), Classes::One(name("a")));
    world.keeper().close();
    assert_eq!(world.append(request(&["y"], 0, 0)), Err(AppendError::ShuttingDown));
    world.keeper().commit_all();
    assert!(taken.lock().unwrap()[0].is_ok());
}
