//! The data directory: one that another daemon, a later version, another user or nobody has, is refused and untouched.

use crate::daemon::{Daemon, command, write};
use crate::input::{CLASSES, LINES, append_lines, event};
use crate::past::{engine, store};
use crate::program::{Ended, ended, run};
use piperoll_proto::v1::AppendRequest;
use piperoll_store::DropRule;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::tempdir;

/// Every name below a directory: what it is, its permissions, and the hash of what is in it.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let status = fs::symlink_metadata(&path).unwrap();
        let content = if status.is_dir() {
            all.append(&mut everything(&path));
            String::new()
        } else if status.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            blake3::hash(&fs::read(&path).unwrap()).to_string()
        };
        all.insert(path, (status.permissions().mode(), content));
    }
    all
}

fn serve(program: Command, folder: &Path, directory: &Path, more: &[&str]) -> Ended {
    let mut program = program;
    program.current_dir(folder).arg("serve").arg("--directory").arg(directory).args(more);
    program.args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    ended(program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Starts a daemon that must refuse with all of these words, and asserts that nothing changed below `folder`.
#[track_caller]
fn refused(folder: &Path, directory: &Path, more: &[&str], words: &[&str]) {
    let before = everything(folder);
    let ended = serve(command(folder), folder, directory, more);
    assert!(everything(folder) == before, "a refused daemon leaves everything as it was: {}", ended.err);
    for word in [directory.to_str().unwrap()].iter().chain(words) {
        assert!(ended.err.contains(word), "`{word}` is missed in: {}", ended.err);
    }
    ended.with(3);
}

/// Does something as root; the reason where that is not allowed.
fn as_root(name: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(name).args(arguments).output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// A directory that is also at another place; taken away again at the end.
struct Bound(PathBuf);

impl Bound {
    fn new(directory: &Path, at: PathBuf, options: &str) -> Result<Self, String> {
        fs::create_dir(&at).unwrap();
        let (from, to) = (directory.as_os_str(), at.clone());
        as_root("mount", &["--bind".as_ref(), from, to.as_os_str()])?;
        let bound = Self(at);
        let options = format!("remount,bind,{options}");
        as_root("mount", &["-o".as_ref(), options.as_ref(), bound.0.as_os_str()])?;
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        as_root("umount", &[self.0.as_os_str()]).unwrap();
    }
}

/// R27
#[test]
fn a_second_daemon_is_refused_through_a_link_and_through_a_second_mount() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let in_use = format!("in use by pid {} since ", daemon.pid());
    let refused = |directory: &Path| {
        let ended = serve(command(folder.path()), folder.path(), directory, &[]);
        assert!(ended.err.contains(&in_use), "{}", ended.err);
        ended.with(3);
    };
    let link = folder.path().join("link");
    symlink(daemon.data(), &link).unwrap();
    refused(&link);
    match Bound::new(&daemon.data(), folder.path().join("bound"), "rw") {
        Ok(bound) => refused(&bound.0),
        Err(reason) => println!("skipped, because {reason}"),
    }
    append_lines(&daemon, LINES);
    run(&daemon, &["seal"]).with(0);
    append_lines(&daemon, LINES);
}

const ONE_HOUR_NS: i64 = 3_600_000_000_000;

/// A stopped daemon's directory with a file of every kind that it writes.
fn with_every_kind(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let engine = engine(&data, now - ONE_HOUR_NS);
    for sequence in 1..=3 {
        let events = vec![event(&format!("e{sequence}"))];
        let request = AppendRequest { events, producer_id: 7, producer_sequence: sequence };
        store(&engine, "standard", &request);
        engine.keeper.round().unwrap();
        engine.keeper.seal_now(None, None).unwrap();
    }
    let oldest = engine.retirer.sealed().unwrap().remove(0);
    let rule = DropRule { rule: "standard".to_owned(), keep_seconds: 1, principal: "tester".to_owned() };
    engine.retirer.drop_segment(&oldest, &rule).unwrap();
    data
}

/// The last file of the log with this ending.
fn newest(data: &Path, ending: &str) -> PathBuf {
    let mut files = everything(&data.join("logs/default/standard")).into_keys();
    files.rfind(|path| path.extension().is_some_and(|own| own == ending)).unwrap()
}

fn change(path: &Path, content: &[u8]) {
    if path.exists() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    write(path, content);
}

/// The file as the next version would write it: what it says of its version is one more, and its checksum is right.
fn of_next_version(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let ending = path.extension().unwrap_or_default().to_str().unwrap();
    if ending == "log" {
        bytes[8] += 1;
        bytes[12..16].fill(0);
        let crc = crc32fast::hash(&bytes[..1_024]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        return bytes;
    }
    let is_entry = ["open", "seal", "drop"].contains(&ending);
    bytes[if is_entry { 1 } else { 8 }] += 1;
    with_crc(bytes)
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    copy_but(from, to, Path::new(""));
}

/// Copies a directory, but for one name in it.
fn copy_but(from: &Path, to: &Path, but: &Path) {
    fs::create_dir(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path != but) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_but(&path, &target, but);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Without a ballast: its bytes need no copies.
fn config() -> String {
    format!("[storage]\nballast_bytes = 0\n{CLASSES}")
}

/// R28: a later version of each file that says what happened is refused with the file, both versions and what to do,
/// and nothing is touched; what is derived is made again.
#[test]
fn files_of_a_later_version_are_refused_untouched_and_derived_ones_made_again() {
    let folder = tempdir().unwrap();
    let data = with_every_kind(folder.path());
    let mut daemon = Daemon::start(folder.path(), &config(), &[]);
    let answer = run(&daemon, &["query", "-o", "json"]).with(0);
    assert!(daemon.terminate().0.success());
    drop(daemon);

    let mut paths = vec![data.join("piperoll.dir"), data.join("logs/default/standard/log.open")];
    paths.extend([0, 1].map(|number| data.join(format!("tree/round.{number}"))));
    paths.extend(["log", "seal", "drop"].map(|ending| newest(&data, ending)));
    let mut cases: Vec<_> = paths.iter().map(|path| (path.clone(), of_next_version(path))).collect();
    // Kinds that this history does not have: version 2 of them.
    for (kind, ending) in [(4, "loss"), (5, "reindex")] {
        let path = newest(&data, "seal").with_extension(ending);
        cases.push((path, with_crc([vec![kind, 2], vec![0; 200]].concat())));
    }
    for (number, (path, content)) in cases.into_iter().enumerate() {
        let name = path.strip_prefix(&data).unwrap();
        let case = PathBuf::from(format!("case-{number}"));
        copy(&data, &folder.path().join(&case));
        change(&folder.path().join(&case).join(name), &content);
        let words = [name.to_str().unwrap(), "version 2", "version 1", "use a later piperoll"];
        refused(folder.path(), &case, &[], &words);
    }

    for path in [newest(&data, "idx"), newest(&data, "producers")] {
        change(&path, &of_next_version(&path));
    }
    let daemon = Daemon::start(folder.path(), &config(), &[]);
    assert_eq!(run(&daemon, &["query", "-o", "json"]).with(0), answer);
}

/// R29: what is not there, no directory, or not ours.
#[test]
fn what_is_no_data_directory_is_refused_untouched() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    refused(folder, Path::new("missing"), &[], &["no such directory", "--init"]);
    refused(folder, Path::new("missing/data"), &["--init"], &["os error 2"]);
    fs::create_dir(folder.join("empty")).unwrap();
    refused(folder, Path::new("empty"), &[], &["it holds no piperoll.dir", "--init"]);
    write(&folder.join("file"), "a file");
    symlink("nowhere", folder.join("dangling")).unwrap();
    fs::create_dir(folder.join("home")).unwrap();
    write(&folder.join("home/notes.txt"), "mine");
    fs::create_dir_all(folder.join("half/logs")).unwrap();
    for more in [&[][..], &["--init"]] {
        refused(folder, Path::new("file"), more, &["it is no directory"]);
        refused(folder, Path::new("dangling"), more, &["symbolic link to nowhere"]);
    }
    refused(folder, Path::new("home"), &["--init"], &["not empty (notes.txt is there)"]);
    refused(folder, Path::new("half"), &["--init"], &["put the file back from a copy"]);

    // The top of a new file system, through a link.
    fs::create_dir_all(folder.join("volume/lost+found")).unwrap();
    symlink("volume", folder.join("data")).unwrap();
    let daemon = Daemon::start(folder, &config(), &[]);
    append_lines(&daemon, LINES);
}

/// R29: inside the directory no link is followed, and none is taken for a file that is missing.
#[test]
fn links_inside_a_data_directory_are_refused_untouched() {
    let folder = tempdir().unwrap();
    let data = with_every_kind(folder.path());
    write(&folder.path().join("piperoll.toml"), config());
    let log = newest(&data, "log");
    let names = ["piperoll.dir", "logs", "tree", "tree/round.1", "logs/default", "logs/default/standard"];
    let names = names.into_iter().chain([log.strip_prefix(&data).unwrap().to_str().unwrap()]);
    for (number, name) in names.enumerate() {
        let case = PathBuf::from(format!("case-{number}"));
        let whole = folder.path().join(format!("whole-{number}"));
        copy(&data, &whole);
        copy_but(&data, &folder.path().join(&case), &data.join(name));
        symlink(whole.join(name), folder.path().join(&case).join(name)).unwrap();
        refused(folder.path(), &case, &[], &[name, "no link is followed"]);
    }
}

/// R29: a file system that is not to be written.
#[test]
fn a_read_only_data_directory_is_refused_untouched() {
    let folder = tempdir().unwrap();
    let data = with_every_kind(folder.path());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (directory, more) in [(&data, &[][..]), (&empty, &["--init"])] {
        let at = directory.with_extension("read-only");
        let _bound = match Bound::new(directory, at.clone(), "ro") {
            Ok(bound) => bound,
            Err(reason) => return println!("skipped, because {reason}"),
        };
        let at = PathBuf::from(at.file_name().unwrap());
        refused(folder.path(), &at, more, &["Read-only file system", "mount it to be written"]);
    }
}

/// R29: as root in a directory of another user, and as another user in one of root.
#[test]
fn a_data_directory_of_another_user_is_refused_untouched() {
    const OTHER: u32 = 54_321;
    let folder = tempdir().unwrap();
    let data = with_every_kind(folder.path());
    let (theirs, empty) = (folder.path().join("theirs"), folder.path().join("empty"));
    copy(&data, &theirs);
    fs::create_dir(&empty).unwrap();
    for path in [&theirs.join("piperoll.dir"), &empty] {
        if let Err(error) = chown(path, Some(OTHER), None) {
            return println!("skipped, because chown: {error}");
        }
    }
    let id = OTHER.to_string();
    refused(folder.path(), Path::new("theirs"), &[], &["piperoll.dir belongs to", &id, "chown -R"]);
    refused(folder.path(), Path::new("empty"), &["--init"], &["it belongs to", &id, "chown -R"]);

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    let mut other = command(folder.path());
    other.uid(OTHER).gid(OTHER).args(["serve", "--directory", "data", "--grpc-listen", "127.0.0.1:0"]);
    other.args(["--http-listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = everything(folder.path());
    match other.spawn() {
        Ok(child) => {
            let ended = ended(child);
            assert!(
                ended.err.contains("Permission denied") && ended.err.contains("chown -R"),
                "{}",
                ended.err
            );
            ended.with(3);
        }
        Err(error) => println!("skipped, because the program cannot be run as another user: {error}"),
    }
    assert!(everything(folder.path()) == before);
}
