// SPDX-License-Identifier: Apache-2.0
//! Names and values of a query, read as web forms write them: `+` is a space, `%xx` a byte, and a
//! broken escape stands for itself (WHATWG URL §5.1). Origin servers read them so, and a route
//! that compared the raw spelling could be slipped past with `%61` for `a`.
use smallvec::SmallVec;

/// Whether `raw` decodes to `wanted`.
pub fn equals(raw: &[u8], wanted: &[u8]) -> bool {
    if raw.len() < wanted.len() {
        return false;
    }
    Decoded { raw }.eq(wanted.iter().copied())
}

/// A name or value of a query, decoded.
pub fn decode(raw: &[u8]) -> SmallVec<[u8; 128]> {
    if raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        Decoded { raw }.collect()
    } else {
        SmallVec::from_slice(raw)
    }
}

struct Decoded<'r> {
    raw: &'r [u8],
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.raw.split_first()?;
        self.raw = rest;
        match (first, rest) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    self.raw = after;
                    Some(high << 4 | low)
                }
                _ => Some(b'%'),
            },
            _ => Some(first),
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
