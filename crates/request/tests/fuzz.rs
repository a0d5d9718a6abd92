// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/bearer_claim.rs"]
mod bearer_claim;
#[path = "../../../fuzz/targets/canonical_request.rs"]
mod canonical_request;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_canonical_request_are_taken() {
    for seed in seeds("canonical_request") {
        assert!(canonical_request::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_bearer_claim_are_taken() {
    for seed in seeds("bearer_claim") {
        assert!(bearer_claim::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn canonical_request_holds_on_any_bytes(bytes in mutated("canonical_request", canonical_request::PIECES)) {
        canonical_request::run(&bytes);
    }

    #[test]
    fn bearer_claim_holds_on_any_bytes(bytes in mutated("bearer_claim", bearer_claim::PIECES)) {
        bearer_claim::run(&bytes);
    }
}
