// SPDX-License-Identifier: Apache-2.0
//! The fuzz target of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/expression.rs"]
mod expression;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_expression_are_taken() {
    for seed in seeds("expression") {
        assert!(expression::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused_and_what_may_be_is_computed() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("!", "true", ""),
        ("-", "claims", ""),
        ("{1: ", "1", "}"),
        ("true ? 1 : ", "1", ""),
        ("1 + ", "1", ""),
        ("[1].map(x, ", "1", ")"),
        ("size(", "[]", ")"),
        ("", "claims", ".a"),
        ("", "claims", "[0]"),
        ("", "\"\"", ".trim()"),
        ("true && ", "true", ""),
    ] {
        for count in [1, 30, 60, 100, 240, 300, 1_000, 3_000] {
            let text = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
            expression::run(text.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn expression_holds_on_any_bytes(bytes in mutated("expression", expression::PIECES)) {
        expression::run(&bytes);
    }
}
