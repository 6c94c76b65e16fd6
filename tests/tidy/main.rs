//! The style guide as a test: the crates' arrows, the `//!` on top of every file, lengths, and words that
//! the project does not use.

#![expect(clippy::expect_used, reason = "the helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 600;

/// Which of our own crates each crate may use; the order is that of the arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("piperoll-format", &[]),
    ("piperoll-filter", &["format"]),
    ("piperoll-index", &["format", "filter"]),
    ("piperoll-store", &["format", "filter", "index"]),
    ("piperoll-retention", &["format", "filter", "store"]),
    ("piperoll-proto", &[]),
    ("piperoll-intake", &["proto"]),
    ("piperoll-samples", &["proto"]),
    ("piperoll-client", &["proto"]),
    ("piperoll-server", &["format", "filter", "index", "store", "retention", "proto", "intake"]),
    (
        "piperoll",
        &[
            "format",
            "filter",
            "index",
            "store",
            "retention",
            "proto",
            "intake",
            "samples",
            "client",
            "server",
        ],
    ),
];

/// Crates without files, clocks, threads and tokio, and the words that would give them away.
const PURE: &[&str] =
    &["piperoll-format", "piperoll-filter", "piperoll-index", "piperoll-intake", "piperoll-samples"];
const IMPURE_WORDS: &[&str] = &["std::fs", "std::thread", "std::net", "tokio", "SystemTime", "Instant::now"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("a folder of the workspace can be read").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(files_below(&path, ending));
            }
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    ["crates", "tests", "benches"]
        .iter()
        .flat_map(|folder| files_below(&root.join(folder), ".rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            (path.strip_prefix(&root).expect("below the root").to_owned(), text)
        })
        .collect()
}

fn manifest(name: &str) -> cargo_toml::Manifest {
    let path = root().join("crates").join(name).join("Cargo.toml");
    let text = fs::read_to_string(&path).expect("each crate has a manifest");
    cargo_toml::Manifest::from_slice(text.as_bytes()).expect("manifests parse")
}

#[test]
fn dependencies_point_one_way() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let folders: BTreeSet<_> = fs::read_dir(root().join("crates"))
        .expect("crates/ is there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, arrows.keys().map(|name| (*name).to_owned()).collect(), "crates and table agree");
    for (name, allowed) in ARROWS {
        for used in manifest(name).dependencies.keys() {
            let Some(own) = used.strip_prefix("piperoll-") else { continue };
            assert!(
                allowed.contains(&own),
                "{name} may not use {used}: see docs/architecture.md, the arrows"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_files_clocks_or_threads() {
    for (path, text) in sources() {
        let path_text = path.to_string_lossy();
        let pure = PURE.iter().any(|name| path_text.starts_with(&format!("crates/{name}/src")));
        if !pure || path_text.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in IMPURE_WORDS {
            assert!(!code.contains(word), "{path_text} is in a pure crate and says {word}");
        }
    }
}

#[test]
fn unsafe_lives_in_one_module() {
    for (path, text) in sources() {
        if path.ends_with("piperoll-store/src/kernel_clock.rs") {
            assert_eq!(text.matches("unsafe {").count(), 1, "one system call, and nothing else");
            continue;
        }
        let is_home = path.starts_with("crates/piperoll-store/src/mapping")
            || path.ends_with("piperoll-store/src/mapping.rs");
        if is_home || path.ends_with("tests/tidy/main.rs") {
            continue;
        }
        let found = text.lines().find(|line| line.contains("unsafe {") || line.contains("unsafe impl"));
        assert_eq!(found, None, "{} has unsafe code; it belongs into the module mapping", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not begin with //!", path.display());
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines, at most {FILE_LINES_MAX}", path.display());
    }
}

#[test]
fn tests_do_not_sleep_or_hide() {
    for (path, text) in sources() {
        if path.ends_with("tests/tidy/main.rs") {
            continue;
        }
        for word in ["#[ignore", "should_panic", "#[allow(", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}

#[test]
fn documents_link_to_files_that_exist() {
    let root = root();
    let mut documents = files_below(&root.join("docs"), ".md");
    documents.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)));
    let mut links = 0;
    for document in documents {
        let text = fs::read_to_string(&document).expect("documents are there");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            let path = document.parent().expect("a file has a folder").join(target);
            assert!(path.exists(), "{} links to {target}, which is not there", document.display());
        }
    }
    assert!(links > 0, "the documents link to each other");
}

/// The names in backquotes that are those of tests: three words or more.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        name.matches('_').count() >= 2
            && name.bytes().all(|it| it == b'_' || it.is_ascii_lowercase() || it.is_ascii_digit())
    })
}

#[test]
fn every_clause_of_the_contract_names_a_test_that_is_there() {
    let text = fs::read_to_string(root().join("docs/contract.md")).expect("the contract is there");
    let code: String = sources().into_iter().map(|(_, text)| text).collect();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| R") || line.starts_with("| 1")).collect();
    assert!(rows.len() > 25, "the contract has its clauses");
    for row in text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |")) {
        for name in test_names(row) {
            assert!(
                code.contains(&format!("fn {name}(")),
                "docs/contract.md names {name}, which is not there"
            );
        }
    }
    for row in rows {
        let tests = row.rsplit('|').nth(1).unwrap_or_default();
        assert!(test_names(tests).next().is_some(), "no test keeps this clause: {row}");
    }
}
