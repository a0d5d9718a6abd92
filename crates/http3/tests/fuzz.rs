// SPDX-License-Identifier: Apache-2.0
//! The fuzz target of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/http3_streams.rs"]
mod http3_streams;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_http3_streams_are_taken() {
    for seed in seeds("http3_streams") {
        assert!(http3_streams::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn http3_streams_holds_on_any_bytes(bytes in mutated("http3_streams", http3_streams::PIECES)) {
        http3_streams::run(&bytes);
    }
}
