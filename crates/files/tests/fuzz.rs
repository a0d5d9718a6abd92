// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/files.rs"]
mod files;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_files_are_taken() {
    for seed in seeds("files") {
        assert!(files::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn files_holds_on_any_bytes(bytes in mutated("files", files::PIECES)) {
        files::run(&bytes);
    }
}
