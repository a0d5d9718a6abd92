// SPDX-License-Identifier: Apache-2.0
use tidegate_core::base64_decoded;

/// User and password of `Basic` credentials (RFC 7617 §2); `None` for what is none.
///
/// Padding of base64 is right or not there; what only some decoders would read is refused.
pub fn credentials(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = rest.trim_ascii();
    let bare = text
        .strip_suffix(b"==")
        .or(text.strip_suffix(b"="))
        .unwrap_or(text);
    if bare.len() != text.len() && text.len() % 4 != 0 {
        return None;
    }
    let whole = base64_decoded(bare, *b"+/")?;
    let colon = whole.iter().position(|byte| *byte == b':')?;
    let (user, password) = whole.split_at_checked(colon)?;
    Some((user.to_vec(), password.get(1..)?.to_vec()))
}
