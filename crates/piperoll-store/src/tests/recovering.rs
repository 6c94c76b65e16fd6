//! Restarts: what comes back, what is cut, what is refused.

use super::world::{FIRST_LOG, World, name, request};
use crate::sim::{CallKind, Crash, Effect, Fault};
use crate::{AppendError, Classes, OpenError};
use rustix::io::Errno;

#[test]
fn everything_acknowledged_comes_back() {
    let mut world = World::new();
    let expected: Vec<String> = (0..200).map(|number| format!("actor-{number}")).collect();
    for (sequence, actor) in expected.iter().enumerate() {
        assert_eq!(world.put(actor), sequence as u64);
    }
    assert!(world.keeper().counts().rolls > 2);
    world.open().unwrap();
    assert_eq!(world.actors("a"), expected);
    assert_eq!(world.engine().report.cut_bytes(), 0);
    assert_eq!(world.put("next"), 200);
}

#[test]
fn a_second_daemon_is_refused() {
    let world = World::new();
    let mut second = world.on(world.disk.clone());
    let error = second.open().unwrap_err();
    assert!(matches!(error, OpenError::InUse(Some((pid, _))) if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("in use by pid"), "{error}");
}

#[test]
fn a_later_version_is_refused_untouched() {
    let world = World::new();
    world.put("x");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after
        .disk
        .corrupt("piperoll.dir", |bytes| {
            bytes[8] = 2;
            let crc = crc32fast_of(&bytes[..60]);
            bytes[60..].copy_from_slice(&crc);
        })
        .unwrap();
    let before = after.disk.contents("piperoll.dir").unwrap();
    assert!(matches!(after.open(), Err(OpenError::Newer(_))));
    assert_eq!(after.disk.contents("piperoll.dir").unwrap(), before);
}

pub(super) fn crc32fast_of(bytes: &[u8]) -> [u8; 4] {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

#[test]
fn a_torn_tail_is_cut_and_kept_aside() {
    let world = World::new();
    world.put("x");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    let length = after.disk.contents(FIRST_LOG).unwrap().len();
    after.disk.corrupt(FIRST_LOG, |bytes| bytes[length - 40..].fill(7)).unwrap();
    after.open().unwrap();
    let report = &after.engine().report;
    assert_eq!(report.cut_bytes(), 40);
    assert_eq!(after.disk.contents(report.cuts[0].kept.clone().unwrap()).unwrap(), [7; 40]);
    assert_eq!(after.put("y"), 1);
    let mut again = after.on(after.disk.crash(Crash::Nothing));
    again.open().unwrap();
    assert_eq!(again.actors("a"), ["x", "y"]);
    assert_eq!(again.engine().report.cut_bytes(), 0);
}

#[test]
fn damage_below_the_durable_end_makes_the_log_read_only() {
    let world = World::new();
    for actor in ["x", "y", "z"] {
        world.put(actor);
    }
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.disk.corrupt(FIRST_LOG, |bytes| bytes[1_024 + 80] ^= 1).unwrap();
    let before = after.disk.contents(FIRST_LOG).unwrap();
    after.open().unwrap();
    let report = &after.engine().report;
    assert_eq!(report.read_only.len(), 1);
    let reason = &report.read_only[0].reason;
    assert!(reason.contains("0.log is damaged at offset 1024"), "{reason}");
    let refused = after.append(request(&["w"], 0, 0));
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })));
    assert!(after.append_to(request(&["w"], 0, 0), Classes::One(name("b"))).is_ok());
    after.keeper().round().unwrap();
    after.open().unwrap();
    assert_eq!(after.engine().report.read_only.len(), 1);
    assert_eq!(after.disk.contents(FIRST_LOG).unwrap(), before, "nothing is overwritten");
}

#[test]
fn a_mark_keeps_a_log_that_was_cut_below_it_from_looking_clean() {
    let world = World::new();
    world.put("x");
    world.put("y");
    world.keeper().round().unwrap();
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.disk.corrupt(FIRST_LOG, |bytes| bytes[1_024..].fill(0)).unwrap();
    for _ in 0..3 {
        after.open().unwrap();
        assert_eq!(after.engine().report.read_only.len(), 1);
        after.keeper().round().unwrap();
        after.keeper().round().unwrap();
    }
}

#[test]
fn what_a_failed_sync_left_readable_is_written_again_before_it_is_served() {
    let mut world = World::new();
    world.put("x");
    world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::SyncData).on(FIRST_LOG));
    assert!(world.append(request(&["y"], 0, 0)).is_err());
    world.disk.heal();
    world.open().unwrap();
    let found = world.actors("a");
    assert!(world.engine().report.rewritten_bytes > 0);
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.open().unwrap();
    assert_eq!(after.actors("a"), found, "what was served once stays");
}

#[test]
fn a_missing_segment_is_a_gap_and_the_rest_is_served() {
    let world = World::new();
    world.fill_segments(3);
    let all = world.actors("a").len() as u64;
    let logs = world.names_with("log");
    for gone in [0, 1, 2] {
        use crate::disk::Disk;
        let mut after = world.on(world.disk.crash(Crash::Nothing));
        after.disk.unlink(std::path::Path::new(&format!("logs/t/a/{}", logs[gone]))).unwrap();
        after.open().unwrap();
        assert_eq!(after.engine().report.read_only.len(), 1, "segment {gone}");
        let status = &after.engine().reader.status()[0];
        assert!(status.end.0 == all && status.refusal.is_some());
    }
}

#[test]
fn a_missing_sealed_segment_is_found_behind_the_start() {
    use crate::disk::Disk;
    let world = World::new();
    world.fill_segments(4);
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    let logs = world.names_with("log");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    for ending in ["log", "seal", "idx", "producers"] {
        let at = format!("logs/t/a/{}", logs[2].replace("log", ending));
        after.disk.unlink(std::path::Path::new(&at)).unwrap();
    }
    after.open().unwrap();
    assert!(after.engine().reader.status()[0].refusal.is_none(), "a start reads no history");
    after.keeper().check_history();
    let refusal = after.engine().reader.status()[0].refusal.clone().unwrap();
    assert!(refusal.contains("are missing, without a receipt"), "{refusal}");
}

#[test]
fn foreign_names_are_left_alone_and_told() {
    let world = World::new();
    world.put("x");
    let mut after = world.on(world.disk.crash(Crash::Nothing));
    after.disk.corrupt("logs/t/a/notes.txt", |bytes| bytes.push(1)).unwrap();
    after.disk.corrupt("logs/t/a/00000000000000000009.log.tmp", |bytes| bytes.push(1)).unwrap();
    after.open().unwrap();
    assert_eq!(after.engine().report.foreign, [std::path::PathBuf::from("logs/t/a/notes.txt")]);
    assert!(after.names().contains(&"notes.txt".to_owned()));
    assert!(after.names_with("tmp").is_empty());
}

#[test]
fn every_crash_keeps_what_was_acknowledged() {
    let script = |world: &World| -> Vec<String> {
        let mut acked = Vec::new();
        for number in 0..14 {
            let actor = format!("actor-{number}");
            let batch: Vec<&str> = vec![&actor; 9];
            if world.append(request(&batch, 7, number + 1)).is_ok() {
                acked.push(actor);
            }
            if number == 6 {
                // A round that the crash interrupts is one of the states to survive.
                let _ = world.keeper().round();
            }
            if number == 9 {
                let _ = world.keeper().seal_ready();
            }
        }
        acked
    };
    let whole = World::new();
    script(&whole);
    let calls = whole.disk.calls();
    for stop in 20..calls {
        let world = World::new();
        world.disk.stop_at(stop);
        let acked = script(&world);
        for crash in world.disk.crashes(6, stop) {
            let mut after = world.on(world.disk.crash(crash));
            after.open().unwrap_or_else(|error| panic!("stop at {stop}, {crash:?}: {error}"));
            let report = &after.engine().report;
            assert!(report.read_only.is_empty(), "stop at {stop}, {crash:?}: {:?}", report.read_only);
            for number in 0..14 {
                let actor = format!("actor-{number}");
                let batch: Vec<&str> = vec![&actor; 9];
                let receipt = after.append(request(&batch, 7, number + 1)).unwrap();
                assert!(
                    receipt.repeated || !acked.contains(&actor),
                    "stop at {stop}, {crash:?}: {actor} lost"
                );
            }
            let expected: Vec<String> =
                (0..14).flat_map(|number| vec![format!("actor-{number}"); 9]).collect();
            assert_eq!(after.actors("a"), expected, "stop at {stop}, {crash:?}");
        }
    }
}
