// SPDX-License-Identifier: Apache-2.0
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::Padded;

/// 2^64 divided by the golden ratio, made odd: its multiples, taken modulo 2^64, spread more
/// evenly than those of any other number (Knuth, The Art of Computer Programming 3, §6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many picks there have been, on all threads of the node together.
#[derive(Default)]
pub(crate) struct Turns(Padded<AtomicU64>);

impl Turns {
    /// The number of this pick.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The turn's point in a Weyl sequence on a line of length `total`.
#[inline]
pub(crate) fn point(turn: u64, total: u64) -> u64 {
    ((u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(total)) >> 64) as u64
}
