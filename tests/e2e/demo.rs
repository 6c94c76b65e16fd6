//! The main job, on a small input.

use crate::program::run_alone;
use tempfile::tempdir;

#[test]
fn the_demo_finds_every_answer_that_it_expects() {
    let folder = tempdir().unwrap();
    let ended = run_alone(folder.path(), &["demo", "--events", "20000"]);
    assert!(!ended.out.contains('✗'), "{}", ended.out);
    let out = ended.with(0);
    assert!(out.contains("answers were right"), "{out}");
}
