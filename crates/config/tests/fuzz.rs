// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/delta.rs"]
mod delta;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_delta_are_taken() {
    for seed in seeds("delta") {
        assert!(delta::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn delta_holds_on_any_bytes(bytes in mutated("delta", delta::PIECES)) {
        delta::run(&bytes);
    }
}
