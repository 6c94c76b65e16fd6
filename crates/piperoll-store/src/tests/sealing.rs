//! Rolls, rounds and seals: the chain of roots, and what a seal makes of a segment.

use super::world::{FIRST_LOG, HOUR, SECOND, World, name, request, small_options};
use crate::sim::{CallKind, Crash, Effect, Fault};
use crate::{AppendError, Options};
use piperoll_format::entry::{Entry, EntryFile};
use piperoll_format::round::RoundFile;
use piperoll_format::segment::SegmentHeader;
use piperoll_format::units::Root;
use rustix::io::Errno;

fn root(world: &World, at: &str) -> Root {
    Root(*blake3::hash(&world.disk.contents(at).unwrap()).as_bytes())
}

#[test]
fn each_segment_names_length_and_root_of_the_one_before() {
    let world = World::new();
    world.fill_segments(3);
    let logs = world.names_with("log");
    assert_eq!(logs.len(), 4);
    for pair in logs.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|name| format!("logs/t/a/{name}"));
        let header = SegmentHeader::decode(&world.disk.contents(&after).unwrap()[..1_024]).unwrap();
        let previous = header.previous.unwrap();
        assert_eq!(previous.root, root(&world, &before));
        assert_eq!(previous.length, world.disk.contents(&before).unwrap().len() as u64);
    }
}

#[test]
fn a_sealed_segment_reads_as_before_and_its_seal_is_the_hash_of_its_file() {
    let mut world = World::new();
    world.put("x");
    world.fill_segments(2);
    let before = world.actors("a");
    let sealed: Vec<_> = world.keeper().seal_ready().into_iter().map(Result::unwrap).collect();
    assert_eq!(sealed.len(), 2);
    assert_eq!((sealed[0].first.0, sealed[0].end), (0, sealed[1].first));
    for segment in &sealed {
        assert_eq!(segment.root, root(&world, segment.path.to_str().unwrap()));
        assert_eq!(segment.events, segment.end.0 - segment.first.0);
    }
    let seal = world.disk.contents("logs/t/a/00000000000000000000.seal").unwrap();
    let Ok(Entry::Seal(seal)) = EntryFile::decode(&seal).map(|file| file.entry) else { panic!("no seal") };
    let index = world.disk.contents("logs/t/a/00000000000000000000.idx").unwrap();
    let index = piperoll_index::SealedIndex::open(&index).unwrap();
    assert_eq!((index.canonical_root(), index.log_root()), (seal.index_root, seal.root));
    assert_eq!(world.actors("a"), before);
    assert_eq!(world.engine().retirer.sealed().unwrap(), sealed);
    world.open().unwrap();
    assert_eq!(world.actors("a"), before);
    assert_eq!(world.engine().retirer.sealed().unwrap(), sealed);
    assert_eq!(world.engine().report.unsealed, 0);
    assert!(world.keeper().seal_ready().is_empty());
}

#[test]
fn a_lost_or_damaged_index_is_made_again_and_comes_out_the_same() {
    let world = World::new();
    world.fill_segments(1);
    world.keeper().seal_ready();
    let at = "logs/t/a/00000000000000000000.idx";
    let index = world.disk.contents(at).unwrap();
    let changes: [fn(&mut Vec<u8>); 2] = [Vec::clear, |bytes| bytes[40] ^= 1];
    for change in changes {
        let mut after = world.on(world.disk.crash(Crash::Nothing));
        after.disk.corrupt(at, change).unwrap();
        after.open().unwrap();
        assert_eq!(after.actors("a"), world.actors("a"));
        assert_eq!(after.disk.contents(at).unwrap(), index);
    }
}

#[test]
fn what_a_start_finds_full_and_unsealed_is_sealed() {
    let mut world = World::new();
    world.fill_segments(2);
    let before = world.actors("a");
    world.open().unwrap();
    assert_eq!(world.engine().report.unsealed, 2);
    assert_eq!(world.actors("a"), before);
    assert_eq!(world.keeper().unsealed_segments(), 2);
    assert!(world.keeper().seal_ready().iter().all(Result::is_ok));
    assert_eq!(world.keeper().unsealed_segments(), 0);
    assert_eq!(world.actors("a"), before);
}

#[test]
fn a_seal_that_fails_is_tried_again() {
    let world = World::new();
    world.fill_segments(1);
    for ending in [".idx.tmp", ".seal.tmp", ".log"] {
        let kind = if ending == ".log" { CallKind::Read } else { CallKind::Write };
        world.disk.inject(Fault::next(Effect::Fail(Errno::NOSPC)).kind(kind).on(ending));
        assert!(world.keeper().seal_ready()[0].is_err(), "{ending}");
        assert!(world.names_with("seal").is_empty(), "{ending}");
    }
    assert!(world.keeper().seal_ready()[0].is_ok());
}

#[test]
fn a_file_that_does_not_hash_to_what_was_written_is_not_sealed() {
    let world = World::new();
    world.fill_segments(1);
    world.disk.inject(Fault::next(Effect::FlipBit(9_999)).kind(CallKind::Read).on(FIRST_LOG));
    let error = world.keeper().seal_ready().remove(0).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(matches!(world.append(request(&["x"], 0, 0)), Err(AppendError::ReadOnly { .. })));
}

#[test]
fn seal_now_rolls_and_seals_what_has_frames() {
    let world = World::new();
    world.put("x");
    let sealed = world.keeper().seal_now(Some(&name("t")), None).unwrap();
    assert_eq!((sealed.len(), sealed[0].events), (1, 1));
    assert!(world.keeper().seal_now(None, None).unwrap().is_empty());
    assert_eq!(world.put("y"), 1);
    assert_eq!(world.actors("a"), ["x", "y"]);
}

#[test]
fn age_counts_from_the_first_frame() {
    let world = World::new();
    world.put("x");
    world.clock.pass(23 * HOUR);
    world.keeper().roll_old();
    assert_eq!(world.keeper().counts().rolls, 0);
    world.clock.pass(HOUR);
    world.keeper().roll_old();
    world.keeper().roll_old();
    assert_eq!(world.keeper().counts().rolls, 1);
}

#[test]
fn columns_over_their_budget_roll_the_largest_segment() {
    let world = World::with(Options { columns_bytes_max: 1, ..small_options() });
    world.put("x");
    world.keeper().follow();
    assert_eq!(world.keeper().counts().rolls, 1);
}

#[test]
fn rounds_mark_every_unsealed_segment_in_turn() {
    let world = World::new();
    world.put("x");
    assert!(world.keeper().round_if_due().unwrap());
    world.clock.pass(SECOND);
    world.put("y");
    assert!(!world.keeper().round_if_due().unwrap(), "not yet");
    world.clock.pass(SECOND);
    assert!(world.keeper().round_if_due().unwrap());
    world.clock.pass(59 * SECOND);
    assert!(!world.keeper().round_if_due().unwrap(), "nothing grew");
    world.clock.pass(SECOND);
    assert!(world.keeper().round_if_due().unwrap());
    for (file, number) in [("tree/round.0", 2), ("tree/round.1", 3)] {
        let round = RoundFile::decode(&world.disk.contents(file).unwrap()).unwrap();
        assert_eq!((round.number, round.marks.len()), (number, 1));
        let mark = round.marks[0];
        let log = world.disk.contents(FIRST_LOG).unwrap();
        assert_eq!(mark.root.0, *blake3::hash(&log[..usize::try_from(mark.length).unwrap()]).as_bytes());
        assert_eq!((mark.head.first.0, mark.head.end.0), (0, 2));
    }
}

#[test]
fn another_daemon_on_the_same_directory_is_noticed_before_the_next_segment() {
    let world = World::new();
    world.put("x");
    world
        .disk
        .corrupt("piperoll.dir", |bytes| {
            let mut other = piperoll_format::directory::DirectoryFile::decode(bytes).unwrap();
            other.instance_id = [9; 16];
            *bytes = other.encode();
        })
        .unwrap();
    let error = world.keeper().seal_now(None, None).unwrap_err();
    assert!(error.to_string().contains("another daemon"), "{error}");
    assert!(matches!(world.append(request(&["y"], 0, 0)), Err(AppendError::Stopped { .. })));
}
