// SPDX-License-Identifier: Apache-2.0

/// A hash that is the same in every process, on every machine and in every version: two gateways
/// that hash the same key must choose the same endpoint.
///
/// FNV-1a over the bytes (RFC 9923), then [`StableHash::mix`], because FNV spreads the last bytes
/// badly. Whoever knows it can look for keys that meet: nothing that must stand up to that, such
/// as a table's own hashing, may use it.
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl StableHash {
    /// The hash of nothing yet.
    #[inline]
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash of what was added.
    #[inline]
    pub fn finish(self) -> u64 {
        Self::mix(self.0)
    }

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::new();
        hash.write(bytes);
        hash.finish()
    }

    /// Spreads a number over all 64 bits, no two to the same: the finalizer of SplitMix64 (Steele,
    /// Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
    #[inline]
    pub fn mix(number: u64) -> u64 {
        let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}

impl Default for StableHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::StableHash;

    #[test]
    fn it_never_changes() {
        // The first number of SplitMix64 with seed 0, and the published FNV-1a of "a".
        assert_eq!(StableHash::mix(0), 0xe220_a839_7b1d_cdaf);
        let mut hash = StableHash::new();
        hash.write(b"a");
        assert_eq!(hash.0, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(StableHash::of(b"a"), StableHash::mix(0xaf63_dc4c_8601_ec8c));
    }
}
