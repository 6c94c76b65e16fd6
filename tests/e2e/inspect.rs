//! `inspect`: every file of a data directory checks, and stops to check when a byte of it changes.

use crate::daemon::{Daemon, write};
use crate::input::{CLASSES, LINES, append_lines, ids, json_lines};
use crate::program::{run, run_alone};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

const STEM: &str = "00000000000000000000";

fn inspect(path: &Path, arguments: &[&str]) -> crate::program::Ended {
    let mut all = vec!["inspect", path.to_str().unwrap()];
    all.extend(arguments);
    run_alone(path.parent().unwrap(), &all)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy_below(from: &Path, to: &Path) {
    for path in files_below(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        write(&target, fs::read(&path).unwrap());
    }
}

/// A data directory with a sealed segment and an active one behind it, of a daemon that has ended.
fn directory(folder: &Path) -> PathBuf {
    let mut daemon = Daemon::start(folder, CLASSES, &[]);
    append_lines(&daemon, LINES);
    run(&daemon, &["seal"]).with(0);
    append_lines(&daemon, LINES);
    daemon.terminate();
    daemon.data()
}

#[test]
fn every_file_checks_in_every_format() {
    let folder = tempdir().unwrap();
    let data = directory(folder.path());
    let files = files_below(&data);
    let endings: Vec<_> =
        files.iter().map(|path| path.extension().unwrap_or_default().to_str().unwrap()).collect();
    for ending in ["log", "idx", "seal", "open", "dir", "producers"] {
        assert!(endings.contains(&ending), "{ending} is not among {files:?}");
    }
    for path in &files {
        let text = inspect(path, &[]).with(0);
        assert!(text.contains("checks"), "{}: {text}", path.display());
        let document: Value = serde_json::from_str(&inspect(path, &["-o", "json"]).with(0)).unwrap();
        assert_eq!(document["holds"], json!(true), "{}", path.display());
        json_lines(&inspect(path, &["-o", "jsonl"]).with(0));
        csv::Reader::from_reader(inspect(path, &["-o", "csv"]).with(0).as_bytes()).headers().unwrap();
    }
}

#[test]
fn the_ballast_says_what_it_is_for_and_how_much_it_keeps() {
    let folder = tempdir().unwrap();
    let ballast = directory(folder.path()).join("ballast");
    let words = inspect(&ballast, &[]).with(0);
    assert!(words.contains("room kept back") && words.contains("16777216 (16"), "{words}");
    let document: Value = serde_json::from_str(&inspect(&ballast, &["-o", "json"]).with(0)).unwrap();
    assert_eq!(document["bytes"], json!(16 << 20));
}

#[test]
fn a_segment_shows_its_frames_and_events() {
    let folder = tempdir().unwrap();
    let data = directory(folder.path());
    let log = data.join("logs/default/standard").join(format!("{STEM}.log"));
    let document: Value = serde_json::from_str(&inspect(&log, &["-o", "json"]).with(0)).unwrap();
    assert_eq!((&document["state"], &document["events"]), (&json!("sealed"), &json!(4)), "{document}");
    assert_eq!(document["root"], json!(blake3::hash(&fs::read(&log).unwrap()).to_string()));
    assert_eq!(document["frames"][0]["offset"], json!(1024));
    assert_eq!(document["frames"][0]["sender"]["principal"], json!("anonymous"));
    assert_eq!(ids(&inspect(&log, &["--events"]).with(0)), ["e1", "e2", "e4", "e6"]);
    assert_eq!(ids(&inspect(&log, &["--events", "--frames", "0"]).with(0)).len(), 0);
    let text = inspect(&log, &["--frames", "0"]).with(0);
    assert!(text.contains("… and"), "{text}");

    let active = data.join("logs/default/standard").join(format!("{:020}.log", 4));
    let content = fs::read(&active).unwrap();
    let salt = hex::encode(&content[32..48]);
    for format in ["text", "json", "jsonl", "csv"] {
        let shown = inspect(&active, &["-o", format]).with(0);
        assert!(!shown.contains(&salt), "the salt of an active segment is nobody's to know");
    }
    let document: Value = serde_json::from_str(&inspect(&active, &["-o", "json"]).with(0)).unwrap();
    assert_eq!(document["state"], json!("active"));
    assert!(inspect(&data.join("piperoll.dir"), &["--events"]).code == Some(2));
}

#[test]
fn a_changed_byte_is_found_in_every_file() {
    let folder = tempdir().unwrap();
    let data = directory(folder.path());
    let damaged = folder.path().join("damaged");
    copy_below(&data, &damaged);
    for path in files_below(&damaged) {
        let content = fs::read(&path).unwrap();
        let ending = path.extension().unwrap_or_default().to_str().unwrap();
        // The log that is active ends in preallocated zeros; the others are believed to their last byte.
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in [0, used / 2, used.saturating_sub(1)] {
            let mut changed = content.clone();
            changed[at] ^= 0x10;
            write(&path, &changed);
            let ended = inspect(&path, &["-o", "json"]);
            let torn = ending == "log" && at > 1_024 && ended.out.contains("never acknowledged");
            assert!(matches!(ended.code, Some(1 | 2)) || torn, "{} at {at}: {ended:?}", path.display());
        }
        write(&path, &content);
    }
}

#[test]
fn a_cut_segment_is_found_by_its_seal_and_by_the_next_one() {
    let folder = tempdir().unwrap();
    let data = directory(folder.path());
    let cut = folder.path().join("cut");
    copy_below(&data, &cut);
    let log = cut.join("logs/default/standard").join(format!("{STEM}.log"));
    let content = fs::read(&log).unwrap();
    write(&log, &content[..1_024]);
    let document: Value = serde_json::from_str(&inspect(&log, &["-o", "json"]).with(1)).unwrap();
    let failed: Vec<_> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["holds"] == json!(false))
        .collect();
    assert_eq!(failed.len(), 3, "root, seal and next segment: {document}");
}

#[test]
fn what_is_no_file_of_a_directory_is_refused() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("notes.txt"), "hello");
    write(&folder.path().join(format!("{STEM}.torn")), [0, 1, 2, 0x1b, b'a']);
    write(&folder.path().join("short.log"), "PIPE");
    inspect(&folder.path().join("notes.txt"), &[]).with(2);
    inspect(&folder.path().join("missing.log"), &[]).with(2);
    inspect(folder.path(), &[]).with(2);
    inspect(&folder.path().join("short.log"), &[]).with(1);
    let text = inspect(&folder.path().join(format!("{STEM}.torn")), &[]).with(0);
    assert!(text.contains("0001021b61") && !text.contains('\u{1b}'), "{text}");
}
