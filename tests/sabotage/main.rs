//! Sabotage: every safeguard on the list is taken out in turn, and its named test must turn red. A safeguard
//! whose absence no test notices is not kept by anything.
//!
//! `PIPEROLL_SABOTAGE=all` does it, in a copy of the workspace below `target/`; another value does those whose
//! safeguard contains it. Without it only the list itself is checked, so that it cannot fall behind the code.

#![cfg(test)]

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// At least so many safeguards are on the list.
const SAFEGUARDS_MIN: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    sabotage: Vec<Sabotage>,
}

/// One safeguard, and how it is taken out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
    /// What protects, in a few words.
    safeguard: String,
    /// The clauses, invariants and opening rules that it keeps.
    keeps: String,
    /// The file, from the root of the workspace.
    file: String,
    /// Text that stands there once.
    find: String,
    /// What stands there instead when the safeguard is gone.
    replace: String,
    /// The package of the test.
    package: String,
    /// Where in the package it is: `lib`, or a test target.
    target: String,
    /// The test that turns red: its whole path within the target.
    test: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn list() -> Vec<Sabotage> {
    let text = fs::read_to_string(root().join("tests/sabotage/list.toml")).unwrap();
    toml::from_str::<List>(&text).unwrap().sabotage
}

fn write(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The text of the file without the safeguard.
fn taken_out(sabotage: &Sabotage, text: &str) -> String {
    let (name, find) = (&sabotage.safeguard, &sabotage.find);
    assert_eq!(text.matches(find.as_str()).count(), 1, "{name}: {} has this once:\n{find}", sabotage.file);
    text.replacen(find.as_str(), &sabotage.replace, 1)
}

/// Every file of the workspace that a build needs.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        } else if name != "target" && name != ".git" {
            sources(&entry.path(), found);
        }
    }
}

/// Brings the copy up to the workspace; files that are the same keep their times, so that little is built.
fn copy_workspace(to: &Path) {
    let from = root();
    let mut files = Vec::new();
    sources(&from, &mut files);
    for file in files {
        let copy = to.join(file.strip_prefix(&from).unwrap());
        let bytes = fs::read(&file).unwrap();
        if fs::read(&copy).is_ok_and(|old| old == bytes) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        File::create(&copy).unwrap().write_all(&bytes).unwrap();
    }
}

/// What became of a test.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Red,
    Green,
    /// It did not get so far, and what was said.
    NotRun(String),
}

fn run(copy: &Path, sabotage: &Sabotage) -> Outcome {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", copy.with_file_name("build"));
    cargo.args(["test", "--locked", "--package", &sabotage.package]);
    match sabotage.target.as_str() {
        "lib" => cargo.arg("--lib"),
        target => cargo.args(["--test", target]),
    };
    let output = cargo.args(["--", "--exact", &sabotage.test]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |end: &str| said.lines().any(|line| line == format!("test {} ... {end}", sabotage.test));
    if line("FAILED") {
        Outcome::Red
    } else if line("ok") && output.status.success() {
        Outcome::Green
    } else {
        // A test that prints, or a process that ends itself, leaves no such line.
        let ran = said.contains("running 1 test");
        let errors = String::from_utf8_lossy(&output.stderr);
        match (ran, output.status.success()) {
            (true, true) => Outcome::Green,
            (true, false) => Outcome::Red,
            (false, _) => Outcome::NotRun(format!("{said}\n{errors}")),
        }
    }
}

#[test]
fn every_safeguard_is_where_the_list_says() {
    let list = list();
    assert!(list.len() >= SAFEGUARDS_MIN);
    let names: BTreeSet<_> = list.iter().map(|sabotage| &sabotage.safeguard).collect();
    assert_eq!(names.len(), list.len(), "each safeguard has a name of its own");
    let document = fs::read_to_string(root().join("docs/sabotage.md")).unwrap();
    for sabotage in &list {
        let text = fs::read_to_string(root().join(&sabotage.file)).unwrap();
        assert_ne!(taken_out(sabotage, &text), text, "{}: nothing is taken out", sabotage.safeguard);
        let function = sabotage.test.rsplit("::").next().unwrap();
        let row = format!("| {} | {} | `{function}` |", sabotage.safeguard, sabotage.keeps);
        assert!(document.contains(&row), "docs/sabotage.md has this row:\n{row}");
    }
    let rows = document.lines().filter(|line| line.ends_with("` |")).count();
    assert_eq!(rows, list.len(), "docs/sabotage.md has a row for each safeguard and no other");
}

#[test]
fn without_a_safeguard_its_test_is_red() {
    let Ok(wanted) = std::env::var("PIPEROLL_SABOTAGE") else {
        println!("skipped, because PIPEROLL_SABOTAGE does not say which safeguards to take out");
        return;
    };
    let copy = root().join("target/sabotage/tree");
    copy_workspace(&copy);
    let mut missed = Vec::new();
    let list = list();
    for sabotage in list.iter().filter(|it| wanted == "all" || it.safeguard.contains(&wanted)) {
        let file = copy.join(&sabotage.file);
        let whole = fs::read_to_string(&file).unwrap();
        write(&file, &taken_out(sabotage, &whole));
        let outcome = run(&copy, sabotage);
        write(&file, &whole);
        match &outcome {
            Outcome::NotRun(said) => println!("{}: not run\n{said}", sabotage.safeguard),
            outcome => println!("{}: {} is {outcome:?}", sabotage.safeguard, sabotage.test),
        }
        if outcome != Outcome::Red {
            missed.push(&sabotage.safeguard);
        }
    }
    assert!(missed.is_empty(), "no test misses them: {missed:?}");
}
