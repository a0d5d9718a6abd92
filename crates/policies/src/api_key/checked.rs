// SPDX-License-Identifier: Apache-2.0
//! The check of a key: what `python/tidegate/policies/api_key/key.py` puts behind it.

/// The digits of base 62.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many of them are behind a key.
const CHECK: usize = 6;
/// How many random ones are before them.
const RANDOM: usize = 32;

/// CRC-32 of one byte, by its value: reflected, with the polynomial of IEEE 802.3.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                0xEDB8_8320 ^ (sum >> 1)
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let at = (sum ^ u32::from(*byte)) & 0xFF;
        TABLE.get(at as usize).copied().unwrap_or_default() ^ (sum >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// Whether a key that begins with `prefix` and `_` is written as it was made; `None` for one that begins
/// otherwise.
pub(super) fn is_whole(key: &[u8], prefix: &str) -> Option<bool> {
    let body = key.strip_prefix(prefix.as_bytes())?.strip_prefix(b"_")?;
    if body.len() != RANDOM + CHECK {
        return Some(false);
    }
    let (own, check) = key.split_at_checked(key.len() - CHECK)?;
    let mut rest = crc32(own);
    let mut wanted = [b'0'; CHECK];
    for digit in wanted.iter_mut().rev() {
        *digit = DIGITS
            .get((rest % 62) as usize)
            .copied()
            .unwrap_or_default();
        rest /= 62;
    }
    Some(check == wanted)
}
