//! A full disk seals and sweeps with the room of the ballast (R14, R15).

use super::world::{World, name, request, small_options};
use crate::sim::{CallKind, Crash, Effect, ErrorNumber, Fault};
use crate::{AppendError, DropRule, Options};

const BALLAST_BYTES: u64 = 32 * 1024;

fn rule() -> DropRule {
    DropRule { rule: "test".to_owned(), keep_seconds: 1, principal: "sweeper".to_owned() }
}

fn options() -> Options {
    Options { ballast_bytes: BALLAST_BYTES, ..small_options() }
}

/// A log with full segments, none of them sealed, on a disk without a byte of room.
fn full_world() -> World {
    let world = World::with(options());
    world.fill_segments(3);
    world.disk.set_capacity(Some(world.disk.used()));
    world
}

/// What is left of half-made files.
fn halves(world: &World) -> Vec<String> {
    world.names().into_iter().filter(|name| name.contains(".tmp")).collect()
}

#[test]
fn a_full_disk_seals_with_the_ballast_and_keeps_a_quarter_of_it_for_drops() {
    let world = full_world();
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    assert_eq!(world.names_with("seal").len(), 3);
    assert_eq!(world.keeper().ballast_bytes(), BALLAST_BYTES / 4);
    assert_eq!(halves(&world), [""; 0]);
}

#[test]
fn a_full_disk_sweeps_with_the_ballast_and_takes_it_again() {
    let world = full_world();
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    // Somebody else takes what the seals have left.
    world.disk.set_capacity(Some(world.disk.used()));
    // Appends have what was reserved for them before, and get none of the room that was lent.
    let refused = (0..100).find_map(|_| world.append(request(&["late"; 40], 0, 0)).err());
    assert!(matches!(refused, Some(AppendError::NoSpace { .. })), "{refused:?}");
    for segment in world.engine().retirer.sealed().unwrap() {
        world.engine().retirer.drop_segment(&segment, &rule()).unwrap();
    }
    assert_eq!(world.keeper().ballast_bytes(), 0);
    world.disk.set_capacity(Some(world.disk.used() + BALLAST_BYTES + 8 * 1024));
    world.keeper().take_ballast_again().unwrap();
    assert_eq!(world.keeper().ballast_bytes(), BALLAST_BYTES);
    world.append(request(&["late"; 40], 0, 0)).unwrap();
}

#[test]
fn appends_get_none_of_the_room_that_was_lent() {
    let world = full_world();
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    world.disk.set_capacity(Some(world.disk.used() + 16 * 1024));
    world.keeper().take_ballast_again().unwrap();
    assert!(world.keeper().ballast_bytes() < BALLAST_BYTES, "there is not room enough for it");
    let used = world.disk.used();
    // They have what was reserved for them before.
    let refused = (0..100).find_map(|_| world.append(request(&["late"; 40], 0, 0)).err());
    assert!(matches!(refused, Some(AppendError::NoSpace { .. })), "{refused:?}");
    assert_eq!(world.disk.used(), used);
}

#[test]
fn without_a_ballast_a_segment_stays_full_and_readable_until_there_is_room() {
    let world = World::new();
    world.fill_segments(1);
    world.disk.set_capacity(Some(world.disk.used()));
    let before = world.actors("a");
    assert!(world.keeper().seal_ready()[0].is_err());
    assert_eq!((world.names_with("seal"), halves(&world)), (vec![], vec![]));
    assert_eq!(world.actors("a"), before);
    world.disk.set_capacity(None);
    assert!(world.keeper().seal_ready()[0].is_ok());
}

/// A crash after each call of a seal and a drop that use the ballast: nothing half made is taken for whole, and
/// what was not done is done by the next start.
#[test]
fn a_crash_at_any_call_of_a_seal_or_drop_with_the_ballast_leaves_nothing_half_done() {
    let work = |world: &World| {
        let sealed = world.keeper().seal_ready();
        let segments = world.engine().retirer.sealed().unwrap_or_default();
        let dropped = segments.first().map(|segment| world.engine().retirer.drop_segment(segment, &rule()));
        sealed.iter().all(Result::is_ok) && dropped.is_some_and(|dropped| dropped.is_ok())
    };
    let whole = full_world();
    let before = whole.disk.calls();
    assert!(work(&whole));
    let after = whole.actors("a");
    for stop in before..whole.disk.calls() {
        let world = full_world();
        world.disk.stop_at(stop);
        // Some of the last calls only tidy up: all may have been done.
        let _ = work(&world);
        for crash in world.disk.crashes(8, stop) {
            let mut back = world.on(world.disk.crash(crash));
            back.disk.set_capacity(None);
            back.open().unwrap();
            assert_eq!(back.engine().report.read_only, [], "{crash:?} before call {stop}");
            assert_eq!(halves(&back), [""; 0], "{crash:?} before call {stop}");
            let first = back.keeper().core.catalog.log(&name("t"), &name("a")).unwrap().first();
            let is_dropped = first.0 > 0;
            assert!(back.keeper().seal_ready().iter().all(Result::is_ok));
            if !is_dropped {
                let segments = back.engine().retirer.sealed().unwrap();
                back.engine().retirer.drop_segment(&segments[0], &rule()).unwrap();
            }
            assert_eq!(back.actors("a"), after, "{crash:?} before call {stop}");
        }
    }
}

/// The story: the file could not be cut when its room was wanted. The ballast counted as lent and as whole at once,
/// so that it was never taken again, and appends were refused until the next start.
#[test]
fn a_ballast_that_could_not_be_given_up_is_whole_again_by_itself() {
    let world = full_world();
    let failing = Fault::next(Effect::Fail(ErrorNumber::IO)).kind(CallKind::Truncate).on("ballast").forever();
    world.disk.inject(failing);
    assert!(world.keeper().seal_ready().iter().all(Result::is_err));
    world.disk.heal();
    world.disk.set_capacity(None);
    world.keeper().take_ballast_again().unwrap();
    assert_eq!(world.keeper().ballast_bytes(), BALLAST_BYTES);
    for _ in 0..100 {
        world.append(request(&["late"; 40], 0, 0)).unwrap();
    }
}

#[test]
fn a_ballast_that_a_crash_took_is_taken_again_at_the_start() {
    let world = World::with(options());
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.open().unwrap();
    assert_eq!(after.keeper().ballast_bytes(), BALLAST_BYTES);
    after.options.ballast_bytes = 0;
    after.open().unwrap();
    assert_eq!((after.keeper().ballast_bytes(), after.disk.contents("ballast").unwrap().len()), (0, 0));
}
