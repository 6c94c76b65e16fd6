//! Retries: the same address, whatever happened in between (R2, R3).

use super::world::{HOUR, World, name, request};
use crate::sim::{CallKind, Crash, Effect, Fault};
use crate::{AppendError, Classes, Receipt};
use piperoll_format::frame::ProducerKey;
use piperoll_index::producer_key;
use rustix::io::Errno;
use std::collections::HashMap;

/// The same addresses, as a repeated answer.
fn again(receipt: &Receipt) -> Receipt {
    Receipt { repeated: true, ..receipt.clone() }
}

#[test]
fn a_retry_has_the_first_address_also_after_roll_seal_and_restart() {
    let mut world = World::new();
    let first = world.append(request(&["x", "y"], 7, 1)).unwrap();
    let second = world.append(request(&["z"], 7, 2)).unwrap();
    let check = |world: &World, when: &str| {
        assert_eq!(world.append(request(&["x", "y"], 7, 1)), Ok(again(&first)), "{when}");
        assert_eq!(world.append(request(&["z"], 7, 2)), Ok(again(&second)), "{when}");
        let other = world.append(request(&["other"], 7, 2));
        assert_eq!(other, Err(AppendError::AlreadyExists { producer: 7, sequence: 2 }), "{when}");
    };
    check(&world, "active");
    world.open().unwrap();
    check(&world, "after a restart");
    world.fill_segments(2);
    check(&world, "after a roll");
    world.open().unwrap();
    check(&world, "after a roll and a restart");
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    check(&world, "sealed");
    world.open().unwrap();
    check(&world, "sealed, after a restart");
    assert!(!world.append(request(&["w"], 7, 3)).unwrap().repeated);
}

/// Two sequences whose messages have the same key in an index: among some hundred thousand there are.
fn sequences_of_one_key() -> [u64; 2] {
    let mut found = HashMap::new();
    let pair = (1..).find_map(|sequence| {
        let before = found.insert(producer_key("anonymous", ProducerKey { id: 7, sequence }), sequence);
        before.map(|before| [before, sequence])
    });
    pair.unwrap()
}

/// A key of the index is only that of a candidate.
#[test]
fn messages_that_share_a_key_are_told_apart() {
    let mut world = World::new();
    let sequences = sequences_of_one_key();
    let receipts = sequences.map(|sequence| world.append(request(&["x"], 7, sequence)).unwrap());
    assert!(receipts.iter().all(|receipt| !receipt.repeated));
    let check = |world: &World, when: &str| {
        for (sequence, receipt) in sequences.iter().zip(&receipts) {
            assert_eq!(world.append(request(&["x"], 7, *sequence)), Ok(again(receipt)), "{when}");
        }
    };
    check(&world, "active");
    world.open().unwrap();
    check(&world, "after a restart");
    world.fill_segments(1);
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    world.open().unwrap();
    check(&world, "sealed, after a restart");
}

#[test]
fn a_retry_of_one_in_flight_waits_for_it() {
    let world = World::new();
    let one = || Classes::One(name("a"));
    let first = world.submit(request(&["x"], 7, 1), one());
    let retry = world.submit(request(&["x"], 7, 1), one());
    let other = world.submit(request(&["y"], 7, 1), one());
    assert!(matches!(other.lock().unwrap()[0], Err(AppendError::AlreadyExists { .. })));
    assert!(first.lock().unwrap().is_empty() && retry.lock().unwrap().is_empty());
    world.keeper().commit_all();
    let receipt = first.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(retry.lock().unwrap().pop().unwrap(), Ok(again(&receipt)));
    assert_eq!(world.actors("a"), ["x"]);
}

#[test]
fn a_retry_of_a_message_in_a_shared_frame_finds_its_place_in_it() {
    let mut world = World::new();
    let one = || Classes::One(name("a"));
    for sequence in 1..=5 {
        world.submit(request(&["x", "y"], 7, sequence), one());
    }
    world.keeper().commit_all();
    world.open().unwrap();
    let receipt = world.append(request(&["x", "y"], 7, 4)).unwrap();
    assert_eq!((receipt.ranges[0].first.0, receipt.ranges[0].end.0, receipt.repeated), (6, 8, true));
}

#[test]
fn a_retry_follows_the_stored_split_though_the_routes_have_changed() {
    let mut world = World::new();
    let split =
        |first, second| Classes::Each { classes: vec![name("a"), name("b")], of_event: vec![first, second] };
    let receipt = world.append_to(request(&["0", "1"], 7, 1), split(0, 1)).unwrap();
    world.open().unwrap();
    for classes in [split(1, 0), split(0, 0), Classes::One(name("c"))] {
        assert_eq!(world.append_to(request(&["0", "1"], 7, 1), classes), Ok(again(&receipt)));
    }
}

#[test]
fn a_retry_adds_the_parts_of_a_split_that_are_missing() {
    let world = World::new();
    let split = || Classes::Each { classes: vec![name("a"), name("b")], of_event: vec![0, 1] };
    world.append_to(request(&["-", "-"], 0, 0), split()).unwrap();
    let path = "logs/t/b/00000000000000000000.log";
    world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::Write).on(path));
    assert!(world.append_to(request(&["0", "1"], 7, 1), split()).is_err());
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.open().unwrap();
    assert_eq!((after.actors("a"), after.actors("b")), (vec!["-".into(), "0".into()], vec!["-".to_owned()]));
    let receipt = after.append_to(request(&["0", "1"], 7, 1), Classes::One(name("c"))).unwrap();
    let firsts: Vec<_> = receipt.ranges.iter().map(|range| (range.class.as_str(), range.first.0)).collect();
    assert_eq!(firsts, [("a", 1), ("b", 1)]);
    assert_eq!(
        (after.actors("a"), after.actors("b")),
        (vec!["-".into(), "0".into()], vec!["-".into(), "1".to_owned()])
    );
}

#[test]
fn a_request_that_a_crash_took_from_between_others_is_stored_late_and_once() {
    let world = World::new();
    let [a, b] = ["a", "b"].map(|class| Classes::One(name(class)));
    world.append_to(request(&["-"], 0, 0), a.clone()).unwrap();
    world
        .disk
        .inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::Write).on("a/00000000000000000000.log"));
    assert!(world.append_to(request(&["5"], 7, 5), a.clone()).is_err());
    assert!(world.append_to(request(&["6"], 7, 6), b.clone()).is_ok());
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.open().unwrap();
    assert!(!after.append_to(request(&["5"], 7, 5), a.clone()).unwrap().repeated);
    assert!(after.append_to(request(&["5"], 7, 5), a).unwrap().repeated);
    assert!(after.append_to(request(&["6"], 7, 6), b).unwrap().repeated);
}

#[test]
fn what_is_older_than_the_window_is_refused_and_not_stored_again() {
    let mut world = World::new();
    let actors = ["an-actor-with-a-name-that-fills-segments"; 20];
    for sequence in 1..60 {
        world.append(request(&actors, 7, sequence)).unwrap();
        world.clock.pass(HOUR);
    }
    let check = |world: &World, when: &str| {
        for sequence in [1, 20, 35] {
            let old = world.append(request(&actors, 7, sequence));
            assert_eq!(old, Err(AppendError::OutOfRange { producer: 7, sequence, last: 59 }), "{when}");
        }
        assert!(world.append(request(&actors, 7, 37)).unwrap().repeated, "{when}");
    };
    check(&world, "running");
    world.open().unwrap();
    check(&world, "after a restart");
    world.keeper().seal_now(None, None).unwrap();
    world.open().unwrap();
    check(&world, "after a seal and a restart");
}

#[test]
fn a_lost_producers_file_is_made_again_from_the_log() {
    let world = World::new();
    let receipt = world.append(request(&["x"], 7, 1)).unwrap();
    world.fill_segments(2);
    let files = world.names_with("producers");
    assert_eq!(files.len(), 2);
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    for file in files {
        after.disk.corrupt(format!("logs/t/a/{file}"), |bytes| bytes[9] ^= 1).unwrap();
    }
    after.open().unwrap();
    assert_eq!(after.append(request(&["x"], 7, 1)), Ok(again(&receipt)));
}
