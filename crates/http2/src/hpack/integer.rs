// SPDX-License-Identifier: Apache-2.0
use super::CompressionError;

/// Reads an integer with a prefix of `bits` (1 to 8) bits from `input` at `at`, which moves behind
/// it. RFC 7541 §5.1.
///
/// # Errors
/// The block ends within it, or it passes 2^28: no length or index here may.
#[inline]
pub fn read(input: &[u8], at: &mut usize, bits: u32) -> Result<usize, CompressionError> {
    let most = (1_usize << bits) - 1;
    let first = usize::from(*input.get(*at).ok_or(TRUNCATED)?) & most;
    *at += 1;
    if first < most {
        return Ok(first);
    }
    let mut value = first;
    let mut shift = 0;
    while shift < 28 {
        let byte = *input.get(*at).ok_or(TRUNCATED)?;
        *at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
    Err(CompressionError("an integer that is too large"))
}

pub(super) const TRUNCATED: CompressionError = CompressionError("a block that ends within a field");

/// Appends `value` with a prefix of `bits` bits, the bits above it set as in `pattern`.
#[inline]
pub fn write(out: &mut Vec<u8>, value: usize, bits: u32, pattern: u8) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
