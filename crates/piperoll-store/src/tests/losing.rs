//! Damage, and the way out of it: what a person accepts as lost (R8, R16, R30).

use super::world::{FIRST_LOG, World, name, request};
use crate::disk::Disk as _;
use crate::sim::{CallKind, Crash, Effect, Fault};
use crate::{Acceptance, AppendError, Asker, Loss, LossError, Order, Query, ReadError};
use piperoll_filter::Filter;
use piperoll_format::units::Sequence;
use std::path::Path;

/// The most events of a segment: where a log goes on above one that is damaged.
const SEGMENT_EVENTS: u64 = 1 << 24;

fn acceptance(losses: &[Loss]) -> Acceptance {
    let roots = losses.iter().map(|loss| loss.root).collect();
    Acceptance { roots, principal: "ops".to_owned(), text: "the disk is broken".to_owned() }
}

impl World {
    fn losses(&self) -> Vec<Loss> {
        self.keeper().find_losses(&name("t"), &name("a")).unwrap()
    }

    fn accept(&self, losses: &[Loss]) -> Result<Vec<Loss>, LossError> {
        self.keeper().accept_losses(&name("t"), &name("a"), &acceptance(losses))
    }

    /// Every event of the tenant: actor and sequence, oldest first; both orders and a count must agree.
    fn found(&self) -> Result<Vec<(String, u64)>, ReadError> {
        let reader = &self.engine().reader;
        let page = |order| {
            let (tenant, filter) = (name("t"), Filter::all());
            let query = Query { tenant, filter, order, limit: 10_000, bytes_max: 1 << 24, position: None };
            reader.query(&query, &Asker::patient())
        };
        let page_of = |records: Vec<crate::Record>| -> Vec<(String, u64)> {
            let actor =
                |bytes: &[u8]| String::from_utf8(bytes[2..2 + usize::from(bytes[1])].to_vec()).unwrap();
            records.iter().map(|record| (actor(&record.event), record.sequence.0)).collect()
        };
        let oldest = page_of(page(Order::OldestFirst)?.records);
        let mut newest = page_of(page(Order::NewestFirst)?.records);
        newest.reverse();
        assert_eq!(oldest, newest);
        let count = crate::Count { tenant: name("t"), filter: Filter::all(), group_by: Vec::new(), limit: 1 };
        assert_eq!(reader.count(&count, &Asker::patient())?.total, oldest.len() as u64);
        let group_by = vec![piperoll_filter::Subject::parse("actor").unwrap()];
        let by_actor = crate::Count { group_by, limit: usize::MAX, ..count };
        // The second time what is whole is counted from memory.
        for _ in 0..2 {
            let counted = reader.count(&by_actor, &Asker::patient())?;
            let sum: u64 = counted.groups.iter().map(|group| group.count).sum();
            assert_eq!((counted.total, sum), (oldest.len() as u64, counted.total));
        }
        Ok(oldest)
    }

    fn is_refused(&self) -> bool {
        matches!(self.append(request(&["refused"], 0, 0)), Err(AppendError::ReadOnly { .. }))
    }

    /// A crash and a start, after which everything must be as before.
    fn same_after_restart(&self) -> World {
        let before = self.found().unwrap();
        let mut after = self.on(self.disk.crash(Crash::Nothing));
        after.open().unwrap();
        assert!(after.engine().report.read_only.is_empty(), "{:?}", after.engine().report);
        assert_eq!(after.found().unwrap(), before);
        assert_eq!(after.engine().reader.status()[0].losses, self.engine().reader.status()[0].losses);
        after
    }

    /// Seals, sweeps and goes on, with restarts between: an accepted loss is in nobody's way.
    fn lives_on(&self) {
        let world = self.same_after_restart();
        world.fill_segments(1);
        assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
        world.keeper().check_history();
        world.keeper().round().unwrap();
        let world = world.same_after_restart();
        world.keeper().check_history();
        let left = world.found().unwrap();
        for at in world.names_with("idx") {
            world.disk.corrupt(Path::new("logs/t/a").join(at), |bytes| bytes[1_040] ^= 1).unwrap();
        }
        let world = world.same_after_restart();
        assert_eq!(world.found().unwrap(), left, "indexes are made again, around the loss too");
        let rule = crate::DropRule { rule: "test".to_owned(), keep_seconds: 1, principal: "x".to_owned() };
        for segment in world.engine().retirer.sealed().unwrap() {
            world.engine().retirer.drop_segment(&segment, &rule).unwrap();
        }
        assert!(world.engine().reader.status()[0].losses.is_empty(), "what was lost went with the rest");
        world.put("after the sweep");
        let world = world.same_after_restart();
        assert_eq!(world.names_with("log").len(), 1);
        world.put("after the restart");
    }
}

/// A log of five events in one segment, the frame of the third one damaged.
fn damaged_in_the_middle() -> World {
    let world = World::new();
    for (number, actor) in (1..).zip(["a", "b", "c", "d", "e"]) {
        world.append(request(&[actor], 7, number)).unwrap();
    }
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    let frame = (after.disk.contents(FIRST_LOG).unwrap().len() - 1_024) / 5;
    let frame = frame.min(200);
    let start = third_frame(&after.disk.contents(FIRST_LOG).unwrap());
    after.disk.corrupt(FIRST_LOG, |bytes| bytes[start + frame / 2] ^= 1).unwrap();
    after.open().unwrap();
    after
}

fn third_frame(bytes: &[u8]) -> usize {
    let length =
        |at: usize| usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    let second = 1_024 + length(1_024);
    second + length(second)
}

/// The first sequence that a file's name says.
fn first_of(name: &str) -> u64 {
    name.split('.').next().unwrap().parse().unwrap()
}

/// R8: a hole in the last segment. It is told first, accepted by its root, and the log goes on above it.
#[test]
fn a_hole_in_the_last_segment_is_accepted_and_the_log_goes_on_above_it() {
    let world = damaged_in_the_middle();
    assert!(world.is_refused());
    assert!(matches!(world.found(), Err(ReadError::DataLoss { .. })));
    let before = world.disk.contents(FIRST_LOG).unwrap();
    let losses = world.losses();
    let [loss] = &losses[..] else { panic!("{losses:?}") };
    assert_eq!(loss.path, Path::new(FIRST_LOG));
    assert_eq!(loss.offset, third_frame(&before) as u64);
    assert_eq!(loss.offset + loss.bytes, before.len() as u64);
    assert_eq!((loss.first, loss.end), (Sequence(2), Sequence(SEGMENT_EVENTS)));
    assert_eq!((loss.frames_behind, loss.events_behind), (2, 2));
    assert_eq!(loss.root.0, *blake3::hash(&before).as_bytes());
    assert!(world.is_refused(), "looking accepts nothing");

    assert_eq!(world.accept(&losses).unwrap(), losses);
    assert_eq!(world.put("f"), SEGMENT_EVENTS);
    let expected = [("a", 0), ("b", 1), ("d", 3), ("e", 4), ("f", SEGMENT_EVENTS)];
    let expected: Vec<(String, u64)> =
        expected.iter().map(|(actor, at)| ((*actor).to_owned(), *at)).collect();
    assert_eq!(world.found().unwrap(), expected);
    assert_eq!(world.disk.contents(FIRST_LOG).unwrap(), before, "nothing is overwritten");
    let status = world.engine().reader.status().remove(0);
    assert_eq!((status.refusal, status.losses.len()), (None, 1));
    let accepted = &status.losses[0];
    assert_eq!((accepted.first, accepted.end, accepted.root), (loss.first, loss.end, loss.root));
    assert_eq!((accepted.principal.as_str(), accepted.text.as_str()), ("ops", "the disk is broken"));
    let get = |at| world.engine().reader.get(&name("t"), &name("a"), Sequence(at));
    assert_eq!(get(3).unwrap().sequence, Sequence(3));
    assert!(matches!(get(2), Err(ReadError::Lost { .. })));
    assert!(matches!(get(5), Err(ReadError::Lost { .. })));
    assert!(matches!(get(SEGMENT_EVENTS - 1), Err(ReadError::Lost { .. })));
    assert!(matches!(get(SEGMENT_EVENTS + 1), Err(ReadError::NotFound { .. })));
    world.lives_on();
}

/// R2 across a loss: what is still there has its first address; what was lost is stored as if for the first time.
#[test]
fn retries_around_a_loss_are_stored_once() {
    let world = damaged_in_the_middle();
    world.accept(&world.losses()).unwrap();
    let world = world.same_after_restart();
    let address = |number: u64, actor| {
        let receipt = world.append(request(&[actor], 7, number)).unwrap();
        (receipt.ranges[0].first.0, receipt.repeated)
    };
    assert_eq!(address(2, "b"), (1, true));
    assert_eq!(address(5, "e"), (4, true), "behind the loss");
    assert_eq!(address(3, "c"), (SEGMENT_EVENTS, false));
    assert_eq!(address(3, "c"), (SEGMENT_EVENTS, true));
    assert_eq!(address(6, "f"), (SEGMENT_EVENTS + 1, false));
    assert!(matches!(world.append(request(&["x"], 7, 5)), Err(AppendError::AlreadyExists { .. })));
}

/// R16, R8: what is confirmed is what was seen; a healthy log has nothing to accept.
#[test]
fn only_what_was_seen_is_accepted() {
    let world = damaged_in_the_middle();
    let losses = world.losses();
    assert!(
        matches!(world.accept(&[]), Err(LossError::Changed(roots)) if roots == losses[0].root.to_string())
    );
    world.disk.corrupt(FIRST_LOG, |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    assert!(matches!(world.accept(&losses), Err(LossError::Changed(_))));
    assert!(world.names_with("loss").is_empty());
    let nothing = world.keeper().find_losses(&name("t"), &name("b"));
    assert!(matches!(nothing, Err(LossError::NoLog(..))));
    world.append_to(request(&["x"], 0, 0), crate::Classes::One(name("b"))).unwrap();
    let nothing = world.keeper().find_losses(&name("t"), &name("b"));
    assert!(matches!(nothing, Err(LossError::Healthy(..))));
}

/// R8: the first sequences of a segment whose header is damaged are known by its name only.
#[test]
fn a_last_segment_without_its_header_is_accepted_as_lost() {
    let world = World::new();
    world.fill_segments(1);
    let before = world.found().unwrap();
    let last = world.names_with("log").pop().unwrap();
    let first = first_of(&last);
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.disk.corrupt(Path::new("logs/t/a").join(&last), |bytes| bytes[50] ^= 1).unwrap();
    after.open().unwrap();
    assert!(after.is_refused());
    assert!(after.found().is_err());
    let losses = after.losses();
    assert_eq!((losses[0].offset, losses[0].first.0, losses[0].end.0), (0, first, first + SEGMENT_EVENTS));
    after.accept(&losses).unwrap();
    let kept: Vec<_> = before.into_iter().filter(|(_, sequence)| *sequence < first).collect();
    assert_eq!(after.found().unwrap(), kept);
    assert_eq!(after.put("next"), first + SEGMENT_EVENTS);
    after.lives_on();
}

/// R30: a segment that vanished without a receipt is a gap until somebody accepts it.
#[test]
fn a_missing_segment_is_accepted_as_lost_wherever_it_was() {
    for gone in 0..4 {
        for sealed in [false, true] {
            let world = World::new();
            world.fill_segments(3);
            let before = world.found().unwrap();
            if sealed {
                assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
            }
            world.keeper().round().unwrap();
            let firsts: Vec<u64> = world.names_with("log").iter().map(|name| first_of(name)).collect();
            let mut after = world.on(world.disk.crash(Crash::Nothing));
            let at = format!("logs/t/a/{:020}.log", firsts[gone]);
            after.disk.unlink(Path::new(&at)).unwrap();
            after.open().unwrap();
            let told = format!("{gone} {sealed}: {:?}", after.engine().report);
            assert!(after.is_refused(), "{told}");
            assert!(after.found().is_err(), "{told}");
            let losses = after.losses();
            assert_eq!(losses.len(), 1, "{told} {losses:?}");
            assert_eq!((losses[0].path.as_path(), losses[0].bytes), (Path::new(&at), 0));
            after.accept(&losses).unwrap();
            let end = firsts.get(gone + 1).copied().unwrap_or(u64::MAX);
            let kept = |sequence: u64| sequence < firsts[gone] || sequence >= end;
            let kept: Vec<_> = before.into_iter().filter(|(_, sequence)| kept(*sequence)).collect();
            assert_eq!(after.found().unwrap(), kept, "{told}");
            let next = after.put("next");
            assert!(next >= losses[0].end.0 && !kept.iter().any(|(_, sequence)| *sequence == next));
            after.lives_on();
        }
    }
}

/// R30: a gap that only the seals tell, because every name of the segment is gone.
#[test]
fn a_gap_that_the_history_check_finds_is_accepted_while_the_daemon_runs() {
    let world = World::new();
    world.fill_segments(4);
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    let logs = world.names_with("log");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    for ending in ["log", "seal", "idx", "producers"] {
        after.disk.unlink(&Path::new("logs/t/a").join(logs[2].replace("log", ending))).unwrap();
    }
    after.open().unwrap();
    after.keeper().check_history();
    assert!(after.is_refused());
    after.accept(&after.losses()).unwrap();
    assert!(!after.is_refused());
    after.keeper().check_history();
    assert!(!after.is_refused());
    after.lives_on();
}

/// R8: a segment that is full and not sealed has lost frames; the next one is there already.
#[test]
fn a_closed_segment_that_is_damaged_is_accepted_sealed_and_swept() {
    for cut in [false, true] {
        let world = World::new();
        world.fill_segments(1);
        let before = world.found().unwrap();
        let mut after = world.on(world.disk.crash(Crash::Nothing));
        let start = third_frame(&after.disk.contents(FIRST_LOG).unwrap());
        let change = |bytes: &mut Vec<u8>| if cut { bytes.truncate(start) } else { bytes[start + 90] ^= 1 };
        after.disk.corrupt(FIRST_LOG, change).unwrap();
        after.open().unwrap();
        assert!(after.is_refused());
        let losses = after.losses();
        assert_eq!((losses.len(), losses[0].offset, losses[0].first), (1, start as u64, Sequence(2)));
        after.accept(&losses).unwrap();
        let is_lost = |sequence: u64| sequence == 2 || (cut && (2..losses[0].end.0).contains(&sequence));
        let kept: Vec<_> = before.into_iter().filter(|(_, sequence)| !is_lost(*sequence)).collect();
        assert_eq!(after.found().unwrap(), kept, "cut: {cut}");
        assert_eq!(after.put("next"), kept.last().unwrap().1 + 1, "the next segment goes on");
        after.lives_on();
    }
}

/// R8: damage and a missing segment of one log are accepted together, each by its own root.
#[test]
fn several_losses_are_accepted_together() {
    let world = World::new();
    world.fill_segments(3);
    world.put("last");
    world.put("of all");
    let logs = world.names_with("log");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    let at = |name: &str| Path::new("logs/t/a").join(name);
    after.disk.corrupt(at(&logs[0]), |bytes| bytes[1_100] ^= 1).unwrap();
    after.disk.unlink(&at(&logs[1])).unwrap();
    after.disk.corrupt(at(&logs[3]), |bytes| bytes[1_100] ^= 1).unwrap();
    after.open().unwrap();
    let losses = after.losses();
    assert_eq!(
        losses.iter().map(|loss| loss.path.clone()).collect::<Vec<_>>(),
        [at(&logs[0]), at(&logs[1]), at(&logs[3])]
    );
    after.accept(&losses).unwrap();
    after.put("next");
    after.lives_on();
}

/// R8: a file that changed again after its loss was accepted is damage again.
#[test]
fn damage_after_the_acceptance_is_damage_again() {
    let world = damaged_in_the_middle();
    world.accept(&world.losses()).unwrap();
    world.put("f");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.disk.corrupt(FIRST_LOG, |bytes| bytes[1_100] ^= 1).unwrap();
    after.open().unwrap();
    assert!(after.is_refused());
    let losses = after.losses();
    assert_eq!((losses[0].first, losses[0].end), (Sequence(0), Sequence(SEGMENT_EVENTS)));
    after.accept(&losses).unwrap();
    assert_eq!(after.put("g"), SEGMENT_EVENTS + 1);
    after.lives_on();
}

/// R8, R6: a crash before any call of the acceptance, and any state of the disk after it: the log is read-only with
/// the same loss, or it goes on; and then the same command brings it to the end.
#[test]
fn a_crash_at_any_step_of_an_acceptance_leaves_a_way_on() {
    let whole = damaged_in_the_middle();
    whole.accept(&whole.losses()).unwrap();
    let steps = whole.disk.calls();
    let mut accepted_before = 0;
    for stop in 0..steps {
        let world = damaged_in_the_middle();
        if stop < world.disk.calls() {
            continue;
        }
        let losses = world.losses();
        world.disk.stop_at(stop);
        let outcome = world.accept(&losses);
        for crash in world.disk.crashes(12, stop) {
            let mut after = world.on(world.disk.crash(crash));
            after.open().unwrap();
            let told = || format!("stop at {stop}, {crash:?}: {:?}", after.engine().report);
            if after.is_refused() {
                assert!(outcome.is_err(), "{}", told());
                let again = after.losses();
                assert_eq!(again, losses, "{}", told());
                after.accept(&again).unwrap();
            } else {
                accepted_before += 1;
            }
            let next = after.put("f");
            assert!((SEGMENT_EVENTS..SEGMENT_EVENTS + 2).contains(&next), "{}", told());
            let actors: Vec<String> = after.found().unwrap().into_iter().map(|(actor, _)| actor).collect();
            let actors: Vec<&str> = actors.iter().map(String::as_str).filter(|it| *it != "refused").collect();
            assert_eq!(actors, ["a", "b", "d", "e", "f"], "{}", told());
            drop(after.same_after_restart());
        }
    }
    assert!(accepted_before > 0, "some crashes came after the acceptance");
}

/// R13: on a full disk the loss may be accepted and the next segment has to wait; the first append with room makes it.
#[test]
fn a_full_disk_only_delays_the_segment_behind_a_loss() {
    let world = damaged_in_the_middle();
    let losses = world.losses();
    world
        .disk
        .inject(Fault::next(Effect::Fail(rustix::io::Errno::NOSPC)).kind(CallKind::Write).after(1).forever());
    world.accept(&losses).unwrap();
    assert!(matches!(world.append(request(&["f"], 0, 0)), Err(AppendError::NoSpace { .. })));
    world.disk.heal();
    assert_eq!(world.put("g"), SEGMENT_EVENTS);
    world.same_after_restart();
}

/// `received` goes on rising over a loss, with a clock that went back meanwhile (R24).
#[test]
fn received_goes_on_rising_over_a_loss() {
    let world = damaged_in_the_middle();
    let last = world.engine().reader.status()[0].last_received.unwrap();
    world.clock.jump(-3_600_000_000_000);
    let mut world = world.on(world.disk.crash(Crash::Nothing));
    world.open().unwrap();
    world.accept(&world.losses()).unwrap();
    let receipt = world.append(request(&["f"], 0, 0)).unwrap();
    assert!(receipt.ranges[0].received >= last);
}
