// SPDX-License-Identifier: Apache-2.0
#![no_main]
#[path = "../targets/worker_frames.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::run(data);
});
