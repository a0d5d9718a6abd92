// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets of this crate, run briefly and on a stable compiler. See docs/internals/fuzzing.md.
#[path = "../../../fuzz/targets/chunked.rs"]
mod chunked;
#[path = "../../../fuzz/targets/grpc_web.rs"]
mod grpc_web;
#[path = "../../../fuzz/targets/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/targets/request_head.rs"]
mod request_head;
#[path = "../../../fuzz/targets/response_head.rs"]
mod response_head;

use mutate::{mutated, seeds};
use proptest::prelude::*;

#[test]
fn the_seeds_of_request_head_are_taken() {
    for seed in seeds("request_head") {
        assert!(request_head::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_response_head_are_taken() {
    for seed in seeds("response_head") {
        assert!(response_head::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_chunked_are_taken() {
    for seed in seeds("chunked") {
        assert!(chunked::run(&seed), "{}", seed.escape_ascii());
    }
}

#[test]
fn the_seeds_of_grpc_web_are_taken() {
    for seed in seeds("grpc_web") {
        assert!(grpc_web::run(&seed), "{}", seed.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn request_head_holds_on_any_bytes(bytes in mutated("request_head", request_head::PIECES)) {
        request_head::run(&bytes);
    }

    #[test]
    fn response_head_holds_on_any_bytes(bytes in mutated("response_head", response_head::PIECES)) {
        response_head::run(&bytes);
    }

    #[test]
    fn chunked_holds_on_any_bytes(bytes in mutated("chunked", chunked::PIECES)) {
        chunked::run(&bytes);
    }

    #[test]
    fn grpc_web_holds_on_any_bytes(bytes in mutated("grpc_web", grpc_web::PIECES)) {
        grpc_web::run(&bytes);
    }
}
