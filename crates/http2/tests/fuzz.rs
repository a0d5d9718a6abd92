// SPDX-License-Identifier: Apache-2.0
//! The fuzz target of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/http2_frames.rs"]
mod http2_frames;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_http2_frames_are_taken() {
    for seed in seeds("http2_frames") {
        assert!(http2_frames::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn http2_frames_holds_on_any_bytes(bytes in mutated("http2_frames", http2_frames::PIECES)) {
        http2_frames::run(&bytes);
    }
}
