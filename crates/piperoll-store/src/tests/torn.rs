//! Opening, rule 1: what was cut stays cut.

use super::world::{FIRST_LOG, World, name, request};
use crate::Classes;
use crate::sim::{CallKind, Crash, Effect, ErrorNumber, Fault};
use piperoll_format::request::CheckedBatch;

const ACTOR_BYTES: usize = 87;

/// A request whose frame fills a sector, so that a power cut takes frames whole.
fn sector_request(letter: &str) -> CheckedBatch {
    let actor = letter.repeat(ACTOR_BYTES);
    request(&[&actor, &actor, &actor, &actor], 0, 0)
}

/// Requests, a frame each, in one group whose sync fails.
fn lose(world: &World, letters: &[&str]) {
    let failing = Fault::next(Effect::Fail(ErrorNumber::IO)).kind(CallKind::SyncData).on(FIRST_LOG);
    world.disk.inject(failing);
    let of_class = || Classes::One(name("a"));
    let waiting: Vec<_> =
        letters.iter().map(|letter| world.submit(sector_request(letter), of_class())).collect();
    world.keeper().commit_all();
    assert!(waiting.iter().all(|outcomes| outcomes.lock().unwrap()[0].is_err()));
}

/// The letters of what a world has.
fn letters(world: &World) -> String {
    let actors = world.actors("a");
    actors.iter().step_by(4).filter_map(|actor| actor.chars().next()).collect()
}

/// What survives the power cuts that this disk may meet now, opened.
fn after_power_cuts(world: &World) -> Vec<(Crash, World)> {
    let crashes = world.disk.crashes(1 << 12, 1).into_iter();
    let opened = crashes.map(|crash| {
        let mut after = world.on(world.disk.crash(crash));
        after.open().unwrap();
        (crash, after)
    });
    opened.collect()
}

/// R7, rule 1. The story: of two frames that were never acknowledged the second survived a power cut, and was
/// cut. The zeros were not synced. The next append, of a frame as long as the lost first one, met a power cut
/// too; it survived, the zeros did not, and the second frame was back behind it.
#[test]
fn what_was_cut_never_comes_back_behind_a_frame_of_the_same_length() {
    let world = World::new();
    world.append(sector_request("x")).unwrap();
    let frame = world.disk.contents(FIRST_LOG).unwrap()[1_024..1_028].to_vec();
    assert_eq!(frame, 512_u32.to_le_bytes(), "a frame is a sector");
    // A mark at the end: nothing is written and synced again at the next start.
    world.keeper().round().unwrap();
    lose(&world, &["y", "z"]);
    let mut torn = 0;
    for (first, after) in after_power_cuts(&world) {
        if after.engine().report.cuts.is_empty() {
            continue;
        }
        torn += 1;
        let before = letters(&after);
        lose(&after, &["w"]);
        for (second, last) in after_power_cuts(&after) {
            let found = letters(&last);
            let is_right = found == before || found == format!("{before}w");
            assert!(is_right, "{first:?}, then {second:?}: {before} became {found}");
        }
    }
    assert!(torn > 0, "some power cut leaves a torn tail");
}
