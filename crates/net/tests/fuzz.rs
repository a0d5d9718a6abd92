// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/targets/proxy_head.rs"]
mod proxy_head;
#[path = "../../../fuzz/targets/quic_initial.rs"]
mod quic_initial;
#[path = "../../../fuzz/targets/tls_hello.rs"]
mod tls_hello;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_proxy_head_are_taken() {
    for seed in seeds("proxy_head") {
        assert!(proxy_head::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_tls_hello_are_taken() {
    for seed in seeds("tls_hello") {
        assert!(tls_hello::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_quic_initial_are_taken() {
    for seed in seeds("quic_initial") {
        assert!(quic_initial::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn proxy_head_holds_on_any_bytes(bytes in mutated("proxy_head", proxy_head::PIECES)) {
        proxy_head::run(&bytes);
    }

    #[test]
    fn tls_hello_holds_on_any_bytes(bytes in mutated("tls_hello", tls_hello::PIECES)) {
        tls_hello::run(&bytes);
    }

    #[test]
    fn quic_initial_holds_on_any_bytes(bytes in mutated("quic_initial", quic_initial::PIECES)) {
        quic_initial::run(&bytes);
    }
}
