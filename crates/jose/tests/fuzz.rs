// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, for a moment and without a fuzzer.
#[path = "../../../fuzz/targets/key_set.rs"]
mod key_set;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/targets/token.rs"]
mod token;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn all_seeds_are_taken() {
    assert!(seeds("token").iter().all(|seed| token::run(seed)));
    assert!(seeds("key_set").iter().all(|seed| key_set::run(seed)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_verified_token_has_one_spelling(data in mutated("token", token::PIECES)) {
        token::run(&data);
    }

    #[test]
    fn a_published_set_is_public_and_bounded(data in mutated("key_set", key_set::PIECES)) {
        key_set::run(&data);
    }
}
