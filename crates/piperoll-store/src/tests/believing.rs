//! Clocks that are wrong (R24, R25), on whole engines.

use super::world::{FIRST_LOG, HOUR, Outcome, SECOND, START, World, name, request};
use crate::sim::Crash;
use crate::{AppendError, Classes, ClockError};
use piperoll_format::units::UnixNanos;
use std::sync::{Arc, Mutex};

const YEARS: i64 = 10 * 365 * 24 * HOUR;
const DAY: i64 = 24 * HOUR;

/// The same directory after a restart, the wall clock moved by so much and the kernel without a word for it.
fn restarted(world: &World, jump: i64) -> World {
    world.clock.jump(jump);
    world.clock.synchronise(false);
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.open().unwrap();
    after
}

fn received(outcome: &Outcome) -> i64 {
    outcome.as_ref().unwrap().ranges[0].received.0
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Err(AppendError::ClockNotBelieved { .. }))
}

fn put_own(world: &World) -> Outcome {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&outcomes);
    let batch = World::batch(request(&["piperoll"], 0, 0), Classes::One(name("a")));
    world.engine().appender.submit_own(batch, Box::new(move |outcome| into.lock().unwrap().push(outcome)));
    world.keeper().commit_all();
    outcomes.lock().unwrap().pop().unwrap()
}

/// R25: after a start, a clock that is years ahead gets into no byte: appends are refused, reads go on, nothing is
/// dropped, rounds and rolls have the time of the last entry; a person ends it, and the next start has no question.
#[test]
fn a_start_with_a_clock_years_ahead_takes_no_appends_until_a_person_accepts_it() {
    let world = World::new();
    world.put("before");
    world.keeper().round().unwrap();
    let world = restarted(&world, YEARS);
    let refused = world.append(request(&["x"], 0, 0));
    assert!(is_refused(&refused), "{refused:?}");
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("3650 days") && words.contains("piperoll clock accept"), "{words}");
    assert_eq!(world.actors("a"), ["before"], "reads go on");
    assert_eq!(world.engine().retirer.believed_time(), None, "nothing is dropped");
    world.clock.pass(SECOND);
    world.keeper().round().unwrap();
    world.keeper().roll_old();
    assert_eq!(world.names_with("log").len(), 1, "no segment looks ten years old");
    let reading = world.keeper().clock_reading();
    assert_eq!((reading.believed.0, reading.is_unconfirmed), (START + SECOND, true));
    assert_eq!(reading.ahead_ns, Some(YEARS));

    let own = put_own(&world);
    assert_eq!(received(&own), START + SECOND, "the daemon's own record has the time that was believed");
    let seen = UnixNanos(reading.wall.0 - 60 * SECOND);
    assert_eq!(world.keeper().accept_clock(seen).unwrap(), reading.wall);
    assert_eq!(received(&world.append(request(&["after"], 0, 0))), reading.wall.0);
    assert_eq!(world.engine().retirer.believed_time(), Some(reading.wall));
    assert_eq!(world.keeper().accept_clock(seen), Err(ClockError::Believed));
    let world = restarted(&world, HOUR);
    assert_eq!(received(&world.append(request(&["later"], 0, 0))), reading.wall.0 + HOUR);
}

/// R25: a crash after the record and before the clock is believed asks again, and loses nothing.
#[test]
fn a_record_without_its_acceptance_changes_nothing() {
    let world = World::new();
    world.put("before");
    let world = restarted(&world, YEARS);
    put_own(&world).unwrap();
    let world = restarted(&world, 0);
    assert!(is_refused(&world.append(request(&["x"], 0, 0))));
    assert_eq!(world.actors("a"), ["before", "piperoll"]);
}

/// R25: the clock of a start is believed when the kernel vouches for it, at once or later; when it agrees; within a
/// day; and in a directory without entries.
#[test]
fn a_start_believes_a_clock_that_somebody_vouches_for() {
    let used = || {
        let world = World::new();
        world.put("before");
        world
    };
    let world = restarted(&used(), DAY);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), START + DAY);

    let world = restarted(&used(), DAY + SECOND);
    assert!(is_refused(&world.append(request(&["x"], 0, 0))));
    world.clock.synchronise(true);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), START + DAY + SECOND);

    let world = restarted(&used(), YEARS);
    assert!(is_refused(&world.append(request(&["x"], 0, 0))));
    world.clock.jump(60 * SECOND - YEARS);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), START + 60 * SECOND);

    let world = restarted(&World::new(), YEARS);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), START + YEARS);
}

/// R25: an idle daemon's rounds are entries too, so that only its absence counts, not its silence.
#[test]
fn rounds_of_an_idle_daemon_are_entries() {
    let world = World::new();
    world.put("before");
    world.clock.pass(10 * DAY);
    world.keeper().round().unwrap();
    let world = restarted(&world, HOUR);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), START + 10 * DAY + HOUR);
}

/// R24: a start with a clock ten years back takes appends, at no earlier time than before, and the clock is set right
/// while it runs.
#[test]
fn a_start_with_a_clock_years_back_goes_on_at_the_last_time() {
    let world = World::new();
    let last = received(&world.append(request(&["before"], 0, 0)));
    let world = restarted(&world, -YEARS);
    assert_eq!(received(&world.append(request(&["x"], 0, 0))), last);
    world.clock.pass(SECOND);
    world.clock.jump(YEARS);
    let outcome = world.append(request(&["y"], 0, 0));
    assert_eq!(received(&outcome), last, "a jump while it runs is not believed, however right it is");
    let reading = world.keeper().clock_reading();
    assert!(reading.ahead_ns.is_some() && !reading.is_unconfirmed);
    world.keeper().accept_clock(reading.wall).unwrap();
    assert_eq!(received(&world.append(request(&["z"], 0, 0))), START + SECOND);
}

/// R2, R25: a clock that is not believed makes no producer look silent for long, so that retries are still known.
#[test]
fn retries_are_known_after_a_start_with_a_clock_that_is_not_believed() {
    let world = World::new();
    world.append(request(&["a"], 7, 1)).unwrap();
    world.fill_segments(1);
    world.keeper().round().unwrap();
    let world = restarted(&world, YEARS);
    assert!(is_refused(&world.append(request(&["a"], 7, 1))));
    world.clock.jump(-YEARS);
    let receipt = world.append(request(&["a"], 7, 1)).unwrap();
    assert!(receipt.repeated && receipt.ranges[0].first.0 == 0);
    assert!(world.disk.contents(FIRST_LOG).is_ok());
}
