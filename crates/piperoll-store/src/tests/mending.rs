//! What one log's disk errors, a damaged seal and damaged bytes of sealed segments do, and what they leave alone.

use super::recovering::crc32fast_of;
use super::world::{FIRST_LOG, World, name, request};
use crate::disk::Disk as _;
use crate::sim::{CallKind, Crash, Effect, Fault};
use crate::{AppendError, Asker, Classes, LossError, Order, Query, ReadError};
use piperoll_filter::Filter;
use piperoll_format::entry::{Entry, EntryFile, Seal};
use piperoll_format::frame::check_frame;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::{Offset, Sequence, UnixNanos};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

impl World {
    /// The sequences that a question finds.
    fn sequences(&self, filter: &str) -> Result<Vec<u64>, ReadError> {
        let filter = match filter {
            "" => Filter::all(),
            text => piperoll_filter::parse(text, UnixNanos(0)).unwrap(),
        };
        let (tenant, order) = (name("t"), Order::OldestFirst);
        let query = Query { tenant, filter, order, limit: 10_000, bytes_max: 1 << 24, position: None };
        let page = self.engine().reader.query(&query, &Asker::patient())?;
        Ok(page.records.iter().map(|record| record.sequence.0).collect())
    }

    fn put_to(&self, class: &str, producer: u64, sequence: u64) -> Result<u64, AppendError> {
        let receipt = self.append_to(request(&["x"], producer, sequence), Classes::One(name(class)));
        receipt.map(|receipt| receipt.ranges[0].first.0)
    }

    fn refusal(&self, class: &str) -> Option<String> {
        let status = self.engine().reader.status();
        status.into_iter().find(|log| log.class.as_str() == class).and_then(|log| log.refusal)
    }
}

/// Two logs: three segments in one, an event in the other.
fn two_logs() -> World {
    let world = World::new();
    world.fill_segments(2);
    for number in 1..4 {
        world.put_to("a", 7, number).unwrap();
    }
    world.put_to("b", 7, 4).unwrap();
    world.keeper().round().unwrap();
    world
}

/// R11: whichever call of a start fails for one log, the others serve, and that one says which file it is. The next
/// start finds everything, and nothing twice.
#[test]
fn an_error_of_the_disk_at_the_start_is_the_logs_own() {
    let before = two_logs();
    let expected = before.sequences("class = a").unwrap();
    let logs = before.names_with("log");
    let mut ends: Vec<String> = logs.iter().map(|log| format!("t/a/{log}")).collect();
    ends.push("logs/t/a".to_owned());
    let mut refused = 0;
    for end in &ends {
        for passes in 0..40 {
            let mut world = before.on(before.disk.crash(Crash::Nothing));
            world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).on(end).after(passes).forever());
            let told = format!("call {passes} on {end}");
            world.open().unwrap_or_else(|error| panic!("{told}: {error}"));
            let outcome = world.put_to("b", 0, 0);
            assert_eq!(outcome, Ok(1), "{told}");
            if let Some(reason) = world.refusal("a") {
                refused += 1;
                assert!(reason.contains("t/a"), "{told}: {reason}");
                assert!(matches!(world.put_to("a", 0, 0), Err(AppendError::Stopped { .. })), "{told}");
                assert!(world.sequences("class = a").is_err(), "{told}");
                let last = Sequence(*expected.last().unwrap());
                assert!(world.engine().reader.get(&name("t"), &name("a"), Sequence(last.0 + 1)).is_err());
                let losses = world.keeper().find_losses(&name("t"), &name("a"));
                assert!(matches!(losses, Err(LossError::Stopped(..))), "{told}: {losses:?}");
                // A retry may have been stored where nobody can look: it is not stored again.
                let retry = world.put_to("b", 7, 3);
                assert!(retry.is_err() || retry == Ok(last.0), "{told}: {retry:?}");
                world.keeper().round().unwrap();
            } else {
                assert_eq!(world.sequences("class = a").unwrap(), expected, "{told}");
            }
            world.disk.heal();
            let mut world = world.on(world.disk.crash(Crash::Nothing));
            world.open().unwrap();
            assert_eq!(world.refusal("a"), None, "{told}: {:?}", world.engine().report);
            assert_eq!(world.sequences("class = a").unwrap(), expected, "{told}");
            assert_eq!(world.put_to("a", 7, 3), Ok(*expected.last().unwrap()), "{told}: the first address");
            assert_eq!(world.put_to("a", 0, 0), Ok(expected.len() as u64), "{told}");
        }
    }
    assert!(refused > 20, "{refused} starts met an error");
}

/// R2, R11: a producer's request that is new to the table may be a retry of what cannot be read.
#[test]
fn producers_wait_while_a_log_cannot_tell_what_they_sent() {
    let before = two_logs();
    let last = before.names_with("log").pop().unwrap();
    let mut world = before.on(before.disk.crash(Crash::Nothing));
    world.disk.inject(
        Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::Read).on(&format!("t/a/{last}")).forever(),
    );
    world.open().unwrap();
    let outcome = world.put_to("b", 8, 1);
    assert!(
        matches!(&outcome, Err(AppendError::Stopped { class, .. }) if *class == name("a")),
        "{outcome:?}"
    );
    assert!(world.put_to("b", 0, 0).is_ok(), "who numbers nothing does not wait");
    world.disk.heal();
    world.open().unwrap();
    assert!(world.put_to("b", 8, 1).is_ok());
}

/// R11: an error in a segment that is full and not sealed: the last one is known, and with it all producers.
#[test]
fn an_error_in_an_older_segment_leaves_the_rest_readable() {
    let before = two_logs();
    let all = before.sequences("class = a").unwrap();
    let second: u64 = before.names_with("log")[1].split('.').next().unwrap().parse().unwrap();
    let mut world = before.on(before.disk.crash(Crash::Nothing));
    world
        .disk
        .inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::Read).on(FIRST_LOG).after(1).forever());
    world.open().unwrap();
    assert!(world.refusal("a").is_some());
    let get = |sequence| world.engine().reader.get(&name("t"), &name("a"), Sequence(sequence));
    assert!(get(second - 1).is_err());
    assert!(get(second).is_ok() && get(*all.last().unwrap()).is_ok());
    assert!(world.put_to("b", 8, 1).is_ok(), "producers are known");
    assert_eq!(world.put_to("b", 7, 3), Ok(*all.last().unwrap()), "and a retry of theirs finds its address");
}

/// Errors of what all logs share are the daemon's.
#[test]
fn an_error_of_the_directory_itself_fails_the_start() {
    let before = two_logs();
    for end in ["piperoll.dir", "logs", "logs/t", "tree/round.1", "tree"] {
        let mut world = before.on(before.disk.crash(Crash::Nothing));
        world.disk.inject(Fault::next(Effect::Fail(Errno::IO)).on(end).forever());
        assert!(world.open().is_err(), "{end}");
    }
}

fn seal_of(world: &World, at: &Path) -> Seal {
    match EntryFile::decode(&world.disk.contents(at).unwrap()).unwrap().entry {
        Entry::Seal(seal) => seal,
        other => panic!("{other:?}"),
    }
}

/// The files of a log with two sealed segments that end so.
fn sealed_world(ending: &str) -> (World, Vec<PathBuf>) {
    let world = World::new();
    world.fill_segments(2);
    world.put("last");
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    let files = world.names_with(ending).iter().map(|name| Path::new("logs/t/a").join(name)).collect();
    (world, files)
}

/// What the next version would write in the place of an entry.
fn of_next_version(bytes: &mut [u8]) {
    bytes[1] = 2;
    let end = bytes.len() - 4;
    let crc = crc32fast_of(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc);
}

/// R28
#[test]
fn a_later_version_in_a_log_is_refused_before_anything_is_written() {
    let (before, seals) = sealed_world("seal");
    let mut world = before.on(before.disk.crash(Crash::Nothing));
    world.disk.corrupt(&seals[1], |bytes| of_next_version(bytes)).unwrap();
    let directory = world.disk.contents("piperoll.dir").unwrap();
    let error = world.open().unwrap_err().to_string();
    assert!(error.contains(seals[1].to_str().unwrap()) && error.contains("version 2"), "{error}");
    assert_eq!(world.disk.contents("piperoll.dir").unwrap(), directory);
}

/// R28: deep in the history, where no start looks. It is not damaged, so nothing is made again.
#[test]
fn a_seal_of_a_later_version_is_told_by_whoever_reads_it_and_left_alone() {
    let (before, seals) = sealed_world("seal");
    let mut world = before.on(before.disk.crash(Crash::Nothing));
    world.disk.corrupt(&seals[0], |bytes| of_next_version(bytes)).unwrap();
    let content = world.disk.contents(&seals[0]).unwrap();
    world.open().unwrap();
    let error = world.sequences("").unwrap_err().to_string();
    assert!(error.contains("version 2") && error.contains("use a later piperoll"), "{error}");
    world.keeper().check_history();
    assert_eq!(world.disk.contents(&seals[0]).unwrap(), content);
}

/// R20: every flipped byte and every cut of a seal: it says the same again, and answers do not change.
#[test]
fn a_damaged_seal_is_made_again_where_the_next_segment_confirms_it() {
    let (before, seals) = sealed_world("seal");
    let expected = before.sequences("").unwrap();
    let good = seal_of(&before, &seals[0]);
    let length = before.disk.contents(&seals[0]).unwrap().len();
    for place in (0..length).step_by(7) {
        for cut in [false, true] {
            for by_history in [false, true] {
                let mut world = before.on(before.disk.crash(Crash::Nothing));
                let change =
                    |bytes: &mut Vec<u8>| if cut { bytes.truncate(place) } else { bytes[place] ^= 4 };
                world.disk.corrupt(&seals[0], change).unwrap();
                world.open().unwrap();
                if by_history {
                    world.keeper().check_history();
                }
                assert_eq!(world.sequences("").unwrap(), expected, "{place} {cut}");
                let notes = world.keeper().take_notes();
                assert_eq!(notes.len(), 1, "{notes:?}");
                assert!(notes[0].contains("0.seal was damaged"), "{notes:?}");
                let mut made = seal_of(&world, &seals[0]);
                made.head.made = good.head.made;
                assert_eq!(made, good, "{place} {cut}");
                assert!(world.refusal("a").is_none());
                world.put("next");
                world.open().unwrap();
                world.keeper().check_history();
                assert!(world.keeper().take_notes().is_empty(), "it is mended for good");
            }
        }
    }
}

/// R20: without anything that confirms the log, a damaged seal stays damage.
#[test]
fn a_damaged_seal_that_nothing_confirms_is_data_loss() {
    let (before, seals) = sealed_world("seal");
    let mut world = before.on(before.disk.crash(Crash::Nothing));
    world.disk.corrupt(&seals[0], |bytes| bytes[9] ^= 1).unwrap();
    world.disk.corrupt(FIRST_LOG, |bytes| bytes[1_200] ^= 1).unwrap();
    world.open().unwrap();
    assert!(matches!(world.sequences(""), Err(ReadError::DataLoss { .. })));
    world.keeper().check_history();
    let refusal = world.refusal("a").unwrap();
    assert!(refusal.contains("cannot be made again"), "{refusal}");
    assert!(world.keeper().take_notes().is_empty());
}

/// R18: a flipped bit of a sealed log fails the reads that need it, and no others (decision 14).
#[test]
fn a_flipped_bit_of_a_sealed_log_fails_the_reads_that_need_it() {
    let (before, logs) = sealed_world("log");
    let expected = before.sequences("").unwrap();
    let bytes = before.disk.contents(&logs[0]).unwrap();
    let frame = u32::from_le_bytes(bytes[1_024..1_028].try_into().unwrap()) as usize;
    let salt = SegmentHeader::decode(&bytes).unwrap().salt;
    let view = check_frame(&bytes[1_024..], Offset(1_024), &salt).unwrap();
    let used = view.head().len() + view.payload().len();
    for place in (1_024..1_024 + used).step_by(3).chain([1_024 + used - 1]) {
        let mut world = before.on(before.disk.crash(Crash::Nothing));
        world.disk.corrupt(&logs[0], |bytes| bytes[place] ^= 1).unwrap();
        world.open().unwrap();
        let get = |sequence| world.engine().reader.get(&name("t"), &name("a"), Sequence(sequence));
        assert!(matches!(get(0), Err(ReadError::DataLoss { .. })), "{place}");
        assert!(matches!(world.sequences(""), Err(ReadError::DataLoss { .. })), "{place}");
        assert!(expected[1..].iter().all(|sequence| get(*sequence).is_ok()), "{place}");
        assert_eq!(world.refusal("a"), None, "appends go on");
    }
    // No answer needs the zeros that fill up a frame.
    for place in 1_024 + used..1_024 + frame {
        let mut world = before.on(before.disk.crash(Crash::Nothing));
        world.disk.corrupt(&logs[0], |bytes| bytes[place] ^= 1).unwrap();
        world.open().unwrap();
        assert_eq!(world.sequences("").unwrap(), expected, "{place}");
    }
}

/// R19: whatever is wrong with an index, it is made again, and answers are the same.
#[test]
fn a_damaged_index_is_made_again_and_answers_the_same() {
    let (before, indexes) = sealed_world("idx");
    let questions = ["", "actor = filler", "actor = nobody", "NOT action = test.done"];
    let expected: Vec<_> = questions.iter().map(|question| before.sequences(question).unwrap()).collect();
    let length = before.disk.contents(&indexes[0]).unwrap().len();
    let check = |told: &str, change: &dyn Fn(&World)| {
        let mut world = before.on(before.disk.crash(Crash::Nothing));
        change(&world);
        world.open().unwrap();
        for (question, expected) in questions.iter().zip(&expected) {
            assert_eq!(world.sequences(question).unwrap(), *expected, "{told}: {question}");
        }
    };
    for place in (0..length).step_by(61) {
        check("flipped", &|world| world.disk.corrupt(&indexes[0], |bytes| bytes[place] ^= 16).unwrap());
    }
    check("cut", &|world| world.disk.corrupt(&indexes[0], |bytes| bytes.truncate(length / 2)).unwrap());
    check("gone", &|world| world.disk.unlink(&indexes[0]).unwrap());
}

/// R16: every byte of an active file below its durable end, flipped: the log is read-only, and nothing is overwritten.
#[test]
fn every_flipped_byte_below_the_durable_end_is_found_at_the_start() {
    let world = World::new();
    for actor in ["x", "y", "z"] {
        world.put(actor);
    }
    world.keeper().round().unwrap();
    let length = world.disk.contents(FIRST_LOG).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    for place in 0..length {
        let mut after = world.on(world.disk.crash(Crash::Nothing));
        after.disk.corrupt(FIRST_LOG, |bytes| bytes[place] ^= 32).unwrap();
        let damaged = after.disk.contents(FIRST_LOG).unwrap();
        // A flipped version byte fails the checksum too, and is no later version.
        after.open().unwrap();
        let refusal = after.refusal("a").unwrap_or_else(|| panic!("{place}: {:?}", after.engine().report));
        assert!(refusal.contains("damaged"), "{place}: {refusal}");
        assert!(after.sequences("").is_err(), "{place}");
        assert_eq!(after.disk.contents(FIRST_LOG).unwrap(), damaged, "{place}");
    }
}

/// R20: a damaged receipt: the seal beside it has the sequences, so that the log begins where it did; the rule is lost.
#[test]
fn a_damaged_receipt_leaves_the_log_where_it_began() {
    let (before, _) = sealed_world("seal");
    let rule = crate::DropRule { rule: "test".to_owned(), keep_seconds: 1, principal: "x".to_owned() };
    let oldest = before.engine().retirer.sealed().unwrap().remove(0);
    before.engine().retirer.drop_segment(&oldest, &rule).unwrap();
    let expected = before.sequences("").unwrap();
    let receipt = Path::new("logs/t/a").join(&before.names_with("drop")[0]);
    let length = before.disk.contents(&receipt).unwrap().len();
    for place in (0..length).step_by(5) {
        let mut world = before.on(before.disk.crash(Crash::Nothing));
        world.disk.corrupt(&receipt, |bytes| bytes[place] ^= 8).unwrap();
        world.open().unwrap();
        let notes = &world.engine().report.notes;
        assert!(notes.iter().any(|note| note.contains("rule it was dropped is lost")), "{place}: {notes:?}");
        assert_eq!(world.refusal("a"), None, "{place}");
        assert_eq!(world.sequences("").unwrap(), expected, "{place}");
        world.put("next");
    }
}
