// SPDX-License-Identifier: Apache-2.0
use std::hash::{BuildHasher, RandomState};

/// The engine's only randomness: a wyrand generator, one per thread, seeded once.
///
/// Fast and even, not secret: nothing that must not be guessed may come from it.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
}

impl Draw {
    /// A generator that repeats the same numbers for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator seeded from the operating system.
    pub fn from_entropy() -> Self {
        // RandomState takes its keys from the system; hashing nothing yields 64 bits of them.
        Self::from_seed(RandomState::new().hash_one(0u8))
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// An even number in `0..bound`; 0 when `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }
}
