// SPDX-License-Identifier: Apache-2.0

/// Bytes of a token, RFC 9110 §5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        table[index] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        index += 1;
    }
    table
};

/// Whether `byte` may stand in a token.
#[inline]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether `text` is a token: not empty, and nothing but token characters. RFC 9110 §5.6.2.
#[inline]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether `text` may stand as a field value: no control character but HTAB, so no CR, LF or NUL.
///
/// Bytes from 0x80 are opaque data (obs-text, RFC 9110 §5.5). White space at either end is not
/// judged here.
#[inline]
pub fn is_field_value(text: &[u8]) -> bool {
    find_control(text) == text.len()
}

/// Where the first control character other than HTAB stands in `text`; its length if there is none.
///
/// In blocks that the compiler turns into vector code: this looks at every byte of every header.
#[inline]
pub(crate) fn find_control(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<32>();
    let mut at = 0;
    for block in blocks {
        // No early exit within a block, and HTAB counts here: both are rare.
        if block
            .iter()
            .fold(false, |found, &byte| found | (byte < 0x20) | (byte == 0x7f))
        {
            break;
        }
        at += block.len();
    }
    at + find_control_by_word(text.get(at..).unwrap_or_default())
}

/// As [`find_control`], eight bytes at a time.
#[inline]
fn find_control_by_word(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = text.as_chunks::<8>();
    for (index, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let delete = word ^ (0x7f * ONES);
        // Bit 7 of each byte below 0x20 or equal to 0x7f; a borrow may set it above such a byte.
        let below = word.wrapping_sub(0x20 * ONES) & !word;
        let equal = delete.wrapping_sub(ONES) & !delete;
        let mut marks = (below | equal) & (0x80 * ONES);
        while marks != 0 {
            let at = (marks.trailing_zeros() / 8) as usize;
            if is_control(bytes[at]) {
                return index * 8 + at;
            }
            marks &= marks - 1;
        }
    }
    let at = rest
        .iter()
        .position(|&byte| is_control(byte))
        .unwrap_or(rest.len());
    words.len() * 8 + at
}

/// Where the first colon stands in `text`. Eight bytes at a time, as names are about that long.
#[inline]
pub(crate) fn find_colon(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = text.as_chunks::<8>();
    for (index, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes) ^ (u64::from(b':') * ONES);
        // The lowest mark is exact; a borrow may set others above it.
        let marks = word.wrapping_sub(ONES) & !word & (0x80 * ONES);
        if marks != 0 {
            return Some(index * 8 + (marks.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter()
        .position(|&byte| byte == b':')
        .map(|at| words.len() * 8 + at)
}

#[inline]
fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// `text` without spaces and tabs at its ends (OWS, RFC 9110 §5.6.3).
#[inline]
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a comma-separated list without white space around them; empty ones are left
/// out, as RFC 9110 §5.6.1.2 asks of a recipient. No quoted strings: for lists of tokens only.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}
