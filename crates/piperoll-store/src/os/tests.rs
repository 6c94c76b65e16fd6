//! Tests of the real disk, each in a directory of its own.

use super::*;
use std::os::unix::process::ExitStatusExt as _;

fn check(test: impl Fn(&OsDisk, &Path)) {
    for resolves_beneath in [true, false] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut disk = OsDisk::open(directory.path()).expect("opens");
        disk.resolves_beneath &= resolves_beneath;
        test(&disk, directory.path());
    }
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

#[test]
fn files_are_written_read_listed_renamed_and_unlinked() {
    check(|disk, _| {
        disk.make_dir(path("logs")).expect("made");
        let file = disk.open(path("logs/a.tmp"), Open::CreateNew).expect("created");
        let parts = [IoSlice::new(b"pipe"), IoSlice::new(b""), IoSlice::new(b"roll")];
        file.write_at(&parts, 3).expect("written");
        file.write_at(&[], 100).expect("nothing to write");
        file.sync_data().expect("synced");
        disk.rename(path("logs/a.tmp"), path("logs/a")).expect("renamed");
        disk.sync_dir(path("logs")).expect("synced");
        disk.sync_dir(path("")).expect("synced");

        let again = disk.open(path("logs/a"), Open::Read).expect("opened");
        let mut bytes = [9; 16];
        assert_eq!(again.read_at(&mut bytes, 0).expect("read"), 11);
        assert_eq!(&bytes[..11], b"\0\0\0piperoll");
        assert_eq!(again.length().expect("length"), 11);
        assert!(again.write_at(&parts, 0).is_err());

        let entries = disk.list(path("logs")).expect("listed");
        assert_eq!(entries, [Entry { name: "a".into(), kind: EntryKind::File }]);
        disk.unlink(path("logs/a")).expect("unlinked");
        assert_eq!(disk.list(path("logs")).expect("listed"), []);
        assert_eq!(disk.list(path("")).expect("listed").len(), 1);
        assert!(disk.free().expect("free") > 0);
    });
}

#[test]
fn more_parts_than_one_call_takes_are_written_in_several() {
    check(|disk, _| {
        let file = disk.open(path("a"), Open::CreateNew).expect("created");
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        let parts: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        file.write_at(&parts, 0).expect("written");
        let mut found = vec![0; 3_000];
        assert_eq!(file.read_at(&mut found, 0).expect("read"), 3_000);
        assert_eq!(found, bytes);
    });
}

#[test]
fn a_name_that_is_taken_or_missing_says_so() {
    check(|disk, _| {
        disk.open(path("a"), Open::CreateNew).expect("created");
        let kind = |result: Result<OsFile>| result.expect_err("refused").kind();
        assert_eq!(kind(disk.open(path("a"), Open::CreateNew)), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.open(path("b"), Open::Append)), ErrorKind::NotFound);
        assert_eq!(kind(disk.open(path("b/c"), Open::CreateNew)), ErrorKind::NotFound);
        disk.make_dir(path("d")).expect("made");
        assert_eq!(disk.make_dir(path("d")).expect_err("taken").kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn no_path_leads_out_of_the_root() {
    check(|disk, root| {
        let outside = tempfile::tempdir().expect("a temporary directory");
        std::fs::File::create(outside.path().join("secret")).expect("created");
        std::os::unix::fs::symlink(outside.path(), root.join("link")).expect("linked");
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("file")).expect("linked");
        for at in ["link/secret", "file", "../x", "/etc/passwd", "a/../../b"] {
            assert!(disk.open(path(at), Open::Read).is_err(), "{at}");
            assert!(disk.open(path(at), Open::CreateNew).is_err(), "{at}");
            assert!(disk.lock(path(at)).is_err(), "{at}");
        }
        assert!(disk.list(path("link")).is_err());
        assert!(disk.make_dir(path("link/inside")).is_err());
        assert!(disk.unlink(path("link/secret")).is_err());
        assert!(disk.rename(path("link/secret"), path("link/other")).is_err());
        assert!(disk.sync_dir(path("link")).is_err());
        assert!(outside.path().join("secret").exists());
        let kinds: Vec<EntryKind> = disk.list(path("")).expect("listed").iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [EntryKind::Other, EntryKind::Other]);
    });
}

#[test]
fn a_lock_is_held_by_one_handle_until_it_is_dropped() {
    check(|disk, root| {
        let held = disk.lock(path("piperoll.dir")).expect("locked");
        let other = OsDisk::open(root).expect("opens");
        assert_eq!(other.lock(path("piperoll.dir")).expect_err("held").kind(), ErrorKind::WouldBlock);
        drop(held);
        other.lock(path("piperoll.dir")).expect("free again");
    });
}

#[test]
fn a_map_sees_what_is_written_below_its_length() {
    check(|disk, _| {
        let file = disk.open(path("a"), Open::CreateNew).expect("created");
        assert!(file.map(1).is_err());
        file.allocate(8_192).expect("allocated");
        assert_eq!(file.length().expect("length"), 8_192);
        file.allocate(4_096).expect("no less than before");
        assert_eq!(file.length().expect("length"), 8_192);
        let map = file.map(8_192).expect("mapped");
        file.write_at(&[IoSlice::new(b"event")], 4_094).expect("written");
        assert_eq!(map.bytes(4_094..4_099), Some(&b"event"[..]));
        assert!(file.write_at(&[IoSlice::new(b"again")], 4_094).is_err());
        assert!(file.truncate(4_098).is_err());
        file.truncate(4_099).expect("only bytes that nobody saw");
        assert_eq!(map.bytes(4_098..4_100), None);
        assert_eq!(map.length(), 8_192);
        assert!(file.map(4_100).is_err());
        assert_eq!(file.map(0).expect("mapped").bytes(0..0), Some(&[][..]));
    });
}

#[test]
fn a_protected_file_has_mode_0444() {
    use std::os::unix::fs::PermissionsExt as _;
    check(|disk, root| {
        let file = disk.open(path("a"), Open::CreateNew).expect("created");
        file.protect().expect("protected");
        let mode = std::fs::metadata(root.join("a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    });
}

#[test]
fn a_missing_root_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("missing");
    assert_eq!(OsDisk::open(&missing).expect_err("refused").kind(), ErrorKind::NotFound);
}

/// Names the directory to the child of the test below.
const CUT_DIRECTORY: &str = "PIPEROLL_CUT_DIRECTORY";

/// The child: maps a file, somebody cuts it, and it touches the page that is gone. Elsewhere it has nothing to do.
#[test]
fn the_child_that_touches_a_page_that_is_gone() {
    let Ok(root) = std::env::var(CUT_DIRECTORY) else { return };
    crate::mapping::explain_unreadable_pages().expect("installed");
    let disk = OsDisk::open(Path::new(&root)).expect("opens");
    let file = disk.open(Path::new("a.log.tmp"), Open::CreateNew).expect("made");
    file.write_at(&[IoSlice::new(&vec![7; 20_000])], 0).expect("written");
    let map = file.map(20_000).expect("mapped");
    let other = std::fs::OpenOptions::new().write(true).open(Path::new(&root).join("a.log.tmp"));
    other.and_then(|file| file.set_len(4_096)).expect("cut behind its back");
    let bytes = map.bytes(0..20_000).expect("once published");
    println!("before the end: {}, behind it: {}", bytes[4_095], bytes[9_000]);
}

/// R12: one line that names file and offset, then the end by SIGBUS.
#[test]
fn a_page_that_cannot_be_read_ends_the_process_with_its_file_and_offset() {
    let directory = tempfile::tempdir().expect("made");
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "os::tests::the_child_that_touches_a_page_that_is_gone", "--nocapture"])
        .env(CUT_DIRECTORY, directory.path())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(7), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("piperoll: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].starts_with("piperoll: cannot read a.log at offset 9000: "), "{said}");
}
