// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/targets/node_frames.rs"]
mod node_frames;
#[path = "../../../fuzz/targets/worker_frames.rs"]
mod worker_frames;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_node_frames_are_taken() {
    for seed in seeds("node_frames") {
        assert!(node_frames::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_worker_frames_are_taken() {
    for seed in seeds("worker_frames") {
        assert!(worker_frames::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn node_frames_holds_on_any_bytes(bytes in mutated("node_frames", node_frames::PIECES)) {
        node_frames::run(&bytes);
    }

    #[test]
    fn worker_frames_holds_on_any_bytes(bytes in mutated("worker_frames", worker_frames::PIECES)) {
        worker_frames::run(&bytes);
    }
}
