//! Drops: the receipt first, then the files, whatever comes between (R26).

use super::world::{World, name};
use crate::sim::{CallKind, Effect, Fault};
use crate::{DropError, DropRule};
use piperoll_format::entry::{Entry, EntryFile};
use rustix::io::Errno;

fn rule() -> DropRule {
    DropRule { rule: "class a keeps 1 h".to_owned(), keep_seconds: 3_600, principal: "sweeper".to_owned() }
}

fn sealed_world() -> World {
    let world = World::new();
    world.put("x");
    world.fill_segments(3);
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    world
}

#[test]
fn a_dropped_segment_leaves_its_seal_and_a_receipt() {
    let mut world = sealed_world();
    let sealed = world.engine().retirer.sealed().unwrap();
    let before = world.actors("a");
    let log = world.keeper().core.catalog.log(&name("t"), &name("a")).unwrap();
    let held = log.snapshot()[0].pin().unwrap();
    let refused = world.engine().retirer.drop_segment(&sealed[1], &rule());
    assert!(matches!(refused, Err(DropError::NotOldest(_))));
    let freed = world.engine().retirer.drop_segment(&sealed[0], &rule()).unwrap();
    assert_eq!((freed.bytes, freed.events), (sealed[0].bytes, sealed[0].events));
    assert!(held.log.frame(piperoll_format::units::Offset(1_024)).is_ok(), "who holds it goes on reading");
    let rest = &before[usize::try_from(sealed[0].events).unwrap()..];
    assert_eq!(world.actors("a"), rest);
    let names = world.names();
    let left: Vec<&String> = names.iter().filter(|name| name.starts_with("00000000000000000000")).collect();
    assert_eq!(left, ["00000000000000000000.drop", "00000000000000000000.seal"]);
    let receipt =
        EntryFile::decode(&world.disk.contents("logs/t/a/00000000000000000000.drop").unwrap()).unwrap();
    let Entry::Drop(entry) = receipt.entry else { panic!("no drop") };
    assert_eq!((entry.root, entry.head.end), (sealed[0].root, sealed[0].end));
    assert_eq!(receipt.detail.unwrap().detail.rule, rule().rule);
    assert!(world.engine().retirer.drop_segment(&sealed[0], &rule()).is_err());
    drop((held, log));
    world.open().unwrap();
    assert!(world.engine().report.read_only.is_empty());
    assert_eq!(world.actors("a"), rest);
    assert!(world.engine().retirer.drop_segment(&sealed[1], &rule()).is_ok());
}

#[test]
fn a_drop_that_a_crash_interrupts_is_finished_or_never_began() {
    let whole = sealed_world();
    let before = whole.disk.calls();
    let sealed = whole.engine().retirer.sealed().unwrap();
    let (all, events) = (whole.actors("a"), usize::try_from(sealed[0].events).unwrap());
    let start = whole.disk.calls();
    whole.engine().retirer.drop_segment(&sealed[0], &rule()).unwrap();
    let calls = whole.disk.calls();
    assert!(start >= before && calls > start);
    for stop in start..=calls {
        let world = sealed_world();
        world.engine().retirer.sealed().unwrap();
        world.actors("a");
        world.disk.stop_at(stop);
        let outcome = world.engine().retirer.drop_segment(&sealed[0], &rule());
        for crash in world.disk.crashes(64, stop) {
            let mut after = world.on(world.disk.crash(crash));
            after.open().unwrap();
            assert!(
                after.engine().report.read_only.is_empty(),
                "{stop} {crash:?} {:?}",
                after.engine().report
            );
            let found = after.actors("a");
            let dropped = found.len() == all.len() - events;
            assert!(dropped || (found == all && outcome.is_err()), "{stop} {crash:?}");
            let receipt = after.names().contains(&"00000000000000000000.drop".to_owned());
            assert_eq!(dropped, receipt, "{stop} {crash:?}: no drop without a receipt");
            let left = after.names().iter().any(|name| name == "00000000000000000000.idx");
            assert!(!(dropped && left), "{stop} {crash:?}: finished");
        }
    }
}

#[test]
fn a_drop_that_an_error_interrupts_is_finished_by_the_next() {
    let world = sealed_world();
    let sealed = world.engine().retirer.sealed().unwrap();
    world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::Unlink).on("0.log"));
    assert!(world.engine().retirer.drop_segment(&sealed[0], &rule()).is_err());
    assert!(world.names().contains(&"00000000000000000000.log".to_owned()));
    world.engine().retirer.drop_segment(&sealed[1], &rule()).unwrap();
    assert!(!world.names().contains(&"00000000000000000000.log".to_owned()));
}
