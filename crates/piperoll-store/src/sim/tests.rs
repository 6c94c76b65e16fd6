//! Tests of the simulated disk.

use std::collections::BTreeSet;

use super::*;

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn write(file: &SimFile, bytes: &[u8], offset: u64) -> Result<()> {
    file.write_at(&[IoSlice::new(bytes)], offset)
}

/// A disk with one durable file `a` of these bytes.
fn with_file(bytes: &[u8]) -> (SimDisk, SimFile) {
    let disk = SimDisk::new();
    let file = disk.open(path("a"), Open::CreateNew).expect("created");
    write(&file, bytes, 0).expect("written");
    file.sync_data().expect("synced");
    disk.sync_dir(path("")).expect("synced");
    assert_eq!(disk.undecided(), 0);
    (disk, file)
}

/// Everything that a crash may leave of the file `a`.
fn outcomes(disk: &SimDisk) -> BTreeSet<Vec<u8>> {
    let crashes = disk.crashes(1 << disk.undecided(), 0);
    crashes.iter().map(|&crash| disk.crash(crash).contents("a").expect("there")).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("fails").kind()
}

#[test]
fn what_was_synced_survives_every_crash() {
    let (disk, _file) = with_file(b"acknowledged");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"acknowledged".to_vec()]));
}

#[test]
fn each_unsynced_sector_is_old_or_new_on_its_own() {
    let (disk, file) = with_file(&[b'o'; 1_024]);
    write(&file, &[b'n'; 1_024], 0).expect("written");
    assert_eq!(disk.undecided(), 2);
    let found: BTreeSet<(u8, u8)> = outcomes(&disk).iter().map(|bytes| (bytes[0], bytes[1_023])).collect();
    assert_eq!(found, BTreeSet::from([(b'o', b'o'), (b'o', b'n'), (b'n', b'o'), (b'n', b'n')]));
}

#[test]
fn a_sector_written_twice_may_hold_either_write() {
    let (disk, file) = with_file(b"1");
    write(&file, b"2", 0).expect("written");
    write(&file, b"3", 0).expect("written");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]));
}

#[test]
fn a_length_is_old_or_new_on_its_own() {
    let (disk, file) = with_file(b"");
    write(&file, b"new", 0).expect("written");
    let expected = [&b""[..], b"\0\0\0", b"new"].map(<[u8]>::to_vec);
    assert_eq!(outcomes(&disk), BTreeSet::from(expected));

    let (disk, file) = with_file(b"long");
    file.truncate(2).expect("truncated");
    file.truncate(3).expect("grown again");
    assert_eq!(disk.contents("a").expect("there"), b"lo\0");
    let expected = [&b"long"[..], b"lo", b"lon", b"lo\0"].map(<[u8]>::to_vec);
    assert_eq!(outcomes(&disk), BTreeSet::from(expected));
    file.sync_data().expect("synced");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"lo\0".to_vec()]));
}

#[test]
fn writing_the_same_bytes_again_decides_nothing() {
    let (disk, file) = with_file(&[1; 700]);
    write(&file, &[1; 700], 0).expect("written");
    assert_eq!(disk.undecided(), 0);
}

#[test]
fn names_are_durable_after_the_sync_of_their_directory_only() {
    let disk = SimDisk::new();
    let exists = |disk: &SimDisk, at: &str| disk.contents(at).is_ok();
    disk.make_dir(path("d")).expect("made");
    let file = disk.open(path("d/tmp"), Open::CreateNew).expect("created");
    write(&file, b"seal", 0).expect("written");
    file.sync_data().expect("synced");
    assert!(!exists(&disk.crash(Crash::Nothing), "d/tmp"));
    disk.sync_dir(path("d")).expect("synced");
    assert!(!exists(&disk.crash(Crash::Nothing), "d/tmp"), "the directory itself has no durable name");
    disk.sync_dir(path("")).expect("synced");
    assert!(exists(&disk.crash(Crash::Nothing), "d/tmp"));

    disk.rename(path("d/tmp"), path("d/seal")).expect("renamed");
    let old = disk.crash(Crash::Nothing);
    assert!(exists(&old, "d/tmp") && !exists(&old, "d/seal"));
    let new = disk.crash(Crash::Everything);
    assert!(!exists(&new, "d/tmp") && exists(&new, "d/seal"));
    disk.sync_dir(path("d")).expect("synced");

    disk.unlink(path("d/seal")).expect("unlinked");
    assert!(!exists(&disk, "d/seal"));
    assert!(exists(&disk.crash(Crash::Nothing), "d/seal"));
    disk.sync_dir(path("d")).expect("synced");
    assert!(!exists(&disk.crash(Crash::Nothing), "d/seal"));
    assert_eq!(disk.contents("d/seal").map_err(|e| e.kind()), Err(ErrorKind::NotFound));
}

#[test]
fn creation_rename_and_unlink_are_each_old_or_new() {
    let (disk, _) = with_file(b"a");
    drop(disk.open(path("b"), Open::CreateNew).expect("created"));
    disk.rename(path("a"), path("c")).expect("renamed");
    let names = |disk: SimDisk| -> String {
        disk.list(path("")).expect("listed").iter().map(|entry| entry.name.to_string_lossy()).collect()
    };
    let found: BTreeSet<String> = disk.crashes(4, 0).iter().map(|&crash| names(disk.crash(crash))).collect();
    assert_eq!(found, BTreeSet::from(["a", "ab", "bc", "c"].map(String::from)));
}

#[test]
fn a_rename_replaces_and_an_old_handle_keeps_its_bytes() {
    let (disk, old) = with_file(b"old");
    let new = disk.open(path("tmp"), Open::CreateNew).expect("created");
    write(&new, b"new", 0).expect("written");
    disk.rename(path("tmp"), path("a")).expect("renamed");
    assert_eq!(disk.contents("a").expect("there"), b"new");
    let mut bytes = [0; 8];
    assert_eq!(old.read_at(&mut bytes, 1).expect("read"), 2);
    assert_eq!(&bytes[..2], b"ld");
    assert_eq!(kind(disk.rename(path("a"), path("d/a"))), ErrorKind::InvalidInput);
}

#[test]
fn refused_pages_stay_readable_until_they_are_evicted_or_lost() {
    let (disk, file) = with_file(b"old");
    write(&file, b"new", 0).expect("written");
    disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::SyncData));
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the cache believes the pages clean");
    assert_eq!(disk.contents("a").expect("there"), b"new");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));

    let seen: BTreeSet<Vec<u8>> = (0..16)
        .map(|seed| {
            let (disk, file) = with_file(b"old");
            write(&file, b"new", 0).expect("written");
            disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::SyncData));
            assert!(file.sync_data().is_err());
            disk.evict(seed);
            assert_eq!(disk.undecided(), 0);
            disk.contents("a").expect("there")
        })
        .collect();
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn what_was_refused_is_durable_once_it_is_written_and_synced_again() {
    let (disk, file) = with_file(b"old");
    write(&file, b"new", 0).expect("written");
    disk.inject(Fault::next(Effect::Fail(Errno::IO)).kind(CallKind::SyncData));
    assert!(file.sync_data().is_err());
    write(&file, b"new", 0).expect("written again");
    file.sync_data().expect("synced");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"new".to_vec()]));
}

#[test]
fn faults_hit_the_planned_calls_only() {
    let (disk, file) = with_file(b"abc");
    let plan = Fault::next(Effect::Fail(Errno::NOSPC)).kind(CallKind::Write).on("a").after(1);
    disk.inject(plan.clone());
    write(&file, b"x", 0).expect("passes");
    assert_eq!(kind(write(&file, b"y", 0)), ErrorKind::StorageFull);
    write(&file, b"z", 0).expect("once only");
    disk.inject(plan.forever());
    write(&file, b"x", 0).expect("passes");
    for _ in 0..3 {
        assert!(write(&file, b"y", 0).is_err());
    }
    disk.heal();
    write(&file, b"z", 0).expect("healed");

    disk.inject(Fault::next(Effect::DoneBut(Errno::IO)));
    assert!(write(&file, b"done", 0).is_err());
    assert_eq!(disk.contents("a").expect("there"), b"done");
    disk.inject(Fault::next(Effect::ShortWrite(2, Errno::IO)));
    assert!(write(&file, b"half", 0).is_err());
    assert_eq!(disk.contents("a").expect("there"), b"hane");
}

#[test]
fn a_sync_that_lies_makes_nothing_durable() {
    let (disk, file) = with_file(b"old");
    write(&file, b"new", 0).expect("written");
    drop(disk.open(path("b"), Open::CreateNew).expect("created"));
    disk.inject(Fault::next(Effect::Lie).kind(CallKind::SyncData));
    disk.inject(Fault::next(Effect::Lie).kind(CallKind::SyncDir));
    file.sync_data().expect("so it says");
    disk.sync_dir(path("")).expect("so it says");
    let crashed = disk.crash(Crash::Nothing);
    assert_eq!(crashed.contents("a").expect("there"), b"old");
    assert!(crashed.contents("b").is_err());
    file.sync_data().expect("synced");
    assert_eq!(disk.crash(Crash::Nothing).contents("a").expect("there"), b"new");
}

#[test]
fn reads_lie_as_planned() {
    let (disk, file) = with_file(&[[b'1'; 512], [b'2'; 512]].concat());
    write(&file, b"new", 0).expect("written");
    let read = |effect| {
        disk.inject(Fault::next(effect));
        let mut bytes = [0; 3];
        file.read_at(&mut bytes, 0).map(|_| bytes)
    };
    assert_eq!(read(Effect::Stale(7)).expect("read"), *b"111");
    assert_eq!(read(Effect::Misdirected(7)).expect("read"), *b"222");
    assert_eq!(read(Effect::FlipBit(8)).expect("read"), *b"ndw");
    assert_eq!(read(Effect::FlipBit(24)).expect("read"), *b"oew");
    assert_eq!(read(Effect::FlipBit(u64::MAX)).expect("read").len(), 3);
    assert!(read(Effect::Fail(Errno::IO)).is_err());
    file.sync_data().expect("synced");
    write(&file, b"newer", 0).expect("written");
    file.sync_data().expect("synced");
    assert_eq!(read(Effect::Stale(0)).expect("read"), *b"new");
    drop(file);
    let after = disk.crash(Crash::Nothing);
    let file = after.open(path("a"), Open::Read).expect("opened");
    after.inject(Fault::next(Effect::Stale(1)));
    let mut bytes = [0; 514];
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), 514);
    assert_eq!((&bytes[..5], &bytes[512..]), (&b"newer"[..], &b"\0\0"[..]), "its only write is lost");
}

#[test]
fn maps_lie_as_planned() {
    let (disk, file) = with_file(&[[b'1'; 512], [b'2'; 512]].concat());
    let map = |effect| {
        disk.inject(Fault::next(effect));
        file.map(1_024).expect("mapped").bytes(510..514).map(<[u8]>::to_vec)
    };
    assert_eq!(map(Effect::Misdirected(0)), Some(b"2222".to_vec()));
    assert_eq!(map(Effect::FlipBit(510 * 8)), Some(b"0122".to_vec()));
    assert_eq!(disk.faults_left(), 0);
    let mut bytes = [0; 4];
    file.read_at(&mut bytes, 510).expect("read");
    assert_eq!(bytes, *b"1122", "what is read is right");
}

#[test]
fn disks_with_the_same_fingerprint_are_the_same() {
    let (disk, file) = with_file(&[0; 2_000]);
    let at_rest = disk.fingerprint();
    write(&file, b"x", 600).expect("written");
    let [lost, kept] = [Crash::Nothing, Crash::Everything].map(|crash| disk.crash(crash).fingerprint());
    assert_eq!(lost, at_rest);
    assert_eq!(kept, disk.fingerprint());
    assert_ne!(kept, lost);
    file.protect().expect("protected");
    assert_ne!(disk.fingerprint(), kept);
    disk.rename(path("a"), path("b")).expect("renamed");
    assert_ne!(disk.crash(Crash::Everything).fingerprint(), disk.crash(Crash::AllBut(2)).fingerprint());
    let mut wreck = disk.wreck();
    let [lost, kept] = [Crash::Nothing, Crash::Everything].map(|crash| wreck.after(crash).fingerprint());
    assert_eq!(lost, at_rest);
    assert_eq!(kept, disk.fingerprint());
    for crash in disk.crashes(1 << disk.undecided(), 0) {
        let found = wreck.after(crash);
        assert_eq!(found.fingerprint(), found.disk().fingerprint(), "{crash:?}");
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_what_was_preallocated() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1_000));
    let file = disk.open(path("a"), Open::CreateNew).expect("created");
    file.allocate(600).expect("room");
    assert_eq!(kind(file.allocate(1_001)), ErrorKind::StorageFull);
    write(&file, &[1; 600], 0).expect("preallocated");
    assert_eq!(disk.free().expect("free"), 400);
    let other = disk.open(path("b"), Open::CreateNew).expect("created");
    assert_eq!(kind(write(&other, &[1; 500], 0)), ErrorKind::StorageFull);
    assert_eq!(disk.contents("b").expect("there").len(), 400);
    disk.unlink(path("a")).expect("unlinked");
    assert_eq!(disk.free().expect("free"), 0, "a handle keeps the bytes");
    drop(file);
    assert_eq!(disk.free().expect("free"), 600);
    assert_eq!(disk.used(), 400);
}

#[test]
fn a_disk_runs_full_at_a_planned_call() {
    let (disk, file) = with_file(b"abc");
    disk.inject(Fault::next(Effect::Room(2)).after(1));
    write(&file, &[1; 100], 0).expect("there is room yet");
    assert_eq!(kind(write(&file, &[2; 3], 100)), ErrorKind::StorageFull);
    assert_eq!(disk.contents("a").expect("there").len(), 102);
    write(&file, &[3; 102], 0).expect("what it has it keeps");
    disk.set_capacity(None);
    write(&file, &[4; 1_000], 0).expect("there is room again");
}

#[test]
fn a_stopped_machine_leaves_no_trace_of_later_calls() {
    let (disk, file) = with_file(b"abc");
    disk.stop_at(disk.calls() + 1);
    write(&file, b"x", 0).expect("the last call");
    assert!(write(&file, b"y", 0).is_err());
    assert!(file.sync_data().is_err());
    assert_eq!(outcomes(&disk), BTreeSet::from([b"abc".to_vec(), b"xbc".to_vec()]));
    disk.heal();
    assert_eq!(disk.contents("a").expect("there"), b"xbc", "the process died, the cache lives");
    file.sync_data().expect("works again");
}

#[test]
fn a_lock_is_held_by_one_handle_until_it_is_dropped() {
    let disk = SimDisk::new();
    let held = disk.lock(path("piperoll.dir")).expect("locked");
    assert_eq!(kind(disk.lock(path("piperoll.dir"))), ErrorKind::WouldBlock);
    assert!(disk.crash(Crash::Everything).lock(path("piperoll.dir")).is_ok());
    drop(held);
    drop(disk.open(path("piperoll.dir"), Open::Read).expect("opened"));
    disk.lock(path("piperoll.dir")).expect("free again");
}

#[test]
fn maps_show_what_is_written_later_even_after_growth() {
    let (disk, file) = with_file(&[]);
    file.allocate(1_000).expect("allocated");
    let map = file.map(1_000).expect("mapped");
    write(&file, b"one", 0).expect("written");
    assert_eq!(map.bytes(0..3), Some(&b"one"[..]));
    file.allocate(100_000).expect("allocated");
    write(&file, b"two", 3).expect("written");
    assert_eq!(map.bytes(0..6), Some(&b"onetwo"[..]));
    assert_eq!(map.bytes(0..1_001), None);
    let longer = file.map(100_000).expect("mapped");
    assert_eq!(longer.bytes(0..7), Some(&b"onetwo\0"[..]));
    assert_eq!(kind(write(&file, b"x", 6)), ErrorKind::InvalidInput);
    drop(longer);
    assert_eq!(kind(write(&file, b"x", 6)), ErrorKind::InvalidInput);
    file.truncate(7).expect("only bytes that nobody saw");
    assert_eq!(map.bytes(6..8), None);
    disk.unlink(path("a")).expect("unlinked");
    drop(file);
    assert_eq!(map.bytes(0..7), Some(&b"onetwo\0"[..]));
}

#[test]
fn a_protected_file_is_opened_for_reading_only() {
    let (disk, file) = with_file(b"sealed");
    file.protect().expect("protected");
    file.protect().expect("again");
    assert_eq!(disk.undecided(), 1);
    assert_eq!(kind(disk.open(path("a"), Open::Append)), ErrorKind::PermissionDenied);
    assert!(disk.crash(Crash::Nothing).open(path("a"), Open::Append).is_ok());
    let reader = disk.open(path("a"), Open::Read).expect("opened");
    assert!(write(&reader, b"x", 0).is_err());
    write(&file, b"x", 0).expect("the old handle keeps its right");
}

#[test]
fn a_file_is_corrupted_behind_everybodys_back() {
    let (disk, _) = with_file(b"abc");
    disk.corrupt("a", |bytes| bytes[1] ^= 1).expect("changed");
    assert_eq!(disk.contents("a").expect("there"), b"acc");
    assert_eq!(disk.crash(Crash::Nothing).contents("a").expect("there"), b"acc");
    disk.corrupt("foreign", |bytes| bytes.extend(b"x")).expect("made");
    assert_eq!(disk.list(path("")).expect("listed").len(), 2);
}

#[test]
fn shapes_are_all_combinations_or_drawn_by_seed() {
    assert_eq!(Crash::shapes(0, 100, 1), [Crash::These(0)]);
    assert_eq!(Crash::shapes(3, 8, 1).len(), 8);
    let drawn = Crash::shapes(100, 500, 7);
    assert_eq!(drawn.len(), 500);
    assert_eq!(drawn, Crash::shapes(100, 500, 7));
    assert_ne!(drawn, Crash::shapes(100, 500, 8));
    assert_eq!(Crash::shapes(100, 1, 0), [Crash::Nothing]);
}

#[test]
fn the_same_steps_make_the_same_disk() {
    let run = || {
        let (disk, file) = with_file(&[0; 2_000]);
        write(&file, &[1; 1_500], 100).expect("written");
        let crash = disk.crashes(9, 3)[8];
        (disk.crash(crash).contents("a").expect("there"), disk.last_calls())
    };
    assert_eq!(run(), run());
    assert!(run().1.ends_with("Write a 100 1500"));
}

#[test]
fn a_failure_report_names_the_last_calls() {
    let (disk, file) = with_file(b"abc");
    disk.inject(Fault::next(Effect::Fail(Errno::NOSPC)));
    assert!(file.allocate(10).is_err());
    assert!(disk.last_calls().ends_with("Allocate a 0 10 -> StorageFull"), "{}", disk.last_calls());
}
