//! The fuzzer: libFuzzer around the target that `PIPEROLL_FUZZ_TARGET` names. `tests/fuzz/run` builds and starts it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use piperoll_fuzz::{Target, chosen};
use std::sync::OnceLock;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: {
        chosen::write_seeds(TARGET.get_or_init(chosen::from_environment));
    },
    |data: &[u8]| {
        (TARGET.get_or_init(chosen::from_environment).run)(data);
    }
);
