// SPDX-License-Identifier: Apache-2.0
use tidegate_core::{base64_decoded, base64_value};

const LAST: [u8; 2] = *b"-_";

/// The bytes of base64url without padding, written in the only way there is (RFC 7515 §2).
///
/// Bits beyond the last byte must be 0: else one token had several spellings, and whoever remembers
/// those that were revoked would know one of them.
pub(crate) fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let unused = match text.len() % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => 0,
    };
    let last = text
        .last()
        .map_or(Some(0), |&digit| base64_value(digit, LAST))?;
    if last & unused != 0 {
        return None;
    }
    base64_decoded(text, LAST)
}
