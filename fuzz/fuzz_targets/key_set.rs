// SPDX-License-Identifier: Apache-2.0
#![no_main]
#[path = "../targets/key_set.rs"]
#[allow(dead_code)] // its pieces are for proptest
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::run(data);
});
