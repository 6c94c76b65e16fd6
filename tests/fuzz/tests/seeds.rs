//! Every target, over its seeds and over seeds that were changed in a few places, the same ones each time.

use piperoll_fuzz::{
    TARGETS,
    mutate::{Random, mutate},
};

/// Changed inputs of each target.
fn cases() -> usize {
    std::env::var("PIPEROLL_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
}

#[test]
fn every_target_takes_its_seeds_and_changed_ones() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has seeds", target.name);
        for seed in &seeds {
            (target.run)(seed);
        }
        let mut random = Random::new(1);
        for _ in 0..cases() {
            let mut input = seeds[random.below(seeds.len())].clone();
            mutate(&mut input, &mut random);
            (target.run)(&input);
        }
    }
}
