// SPDX-License-Identifier: Apache-2.0

/// `bytes` in base64 with padding (RFC 4648 §4).
pub fn base64_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        text.extend(base64_group(piece).map(char::from));
    }
    text
}

/// The four digits of one to three bytes, with padding; what is beyond three is passed over.
pub fn base64_group(bytes: &[u8]) -> [u8; 4] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let at = |place: usize| u32::from(bytes.get(place).copied().unwrap_or(0));
    let bits = at(0) << 16 | at(1) << 8 | at(2);
    std::array::from_fn(|digit| {
        let number = (bits >> (18 - 6 * digit) & 63) as usize;
        let is_there = digit <= bytes.len();
        let byte = DIGITS.get(number).copied().filter(|_| is_there);
        byte.unwrap_or(b'=')
    })
}

/// The bytes of base64 without padding, of any length (RFC 4648 §4, §5); `last` are the digits 62 and 63:
/// `+/`, or `-_` in URLs.
///
/// Bits beyond the last byte are passed over: writers differ in them. So nothing that is signed may be
/// compared by what comes out here. `None` for other digits and for a single one at the end.
pub fn base64_decoded(text: &[u8], last: [u8; 2]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits: u32 = 0;
        for &digit in group {
            bits = bits << 6 | u32::from(base64_value(digit, last)?);
        }
        let [_, all @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend_from_slice(all.get(..group.len() - 1)?);
    }
    Some(bytes)
}

/// The six bits of a digit; `last` are the digits 62 and 63.
pub fn base64_value(digit: u8, last: [u8; 2]) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        _ if digit == last[0] => 62,
        _ if digit == last[1] => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{base64_decoded, base64_encoded};

    #[test]
    fn the_vectors_of_rfc_4648() {
        let vectors: [(&[u8], &[u8]); 7] = [
            (b"", b""),
            (b"Zg", b"f"),
            (b"Zm8", b"fo"),
            (b"Zm9v", b"foo"),
            (b"Zm9vYg", b"foob"),
            (b"Zm9vYmE", b"fooba"),
            (b"Zm9vYmFy", b"foobar"),
        ];
        for (text, bytes) in vectors {
            assert_eq!(base64_decoded(text, *b"+/").as_deref(), Some(bytes));
            let encoded = base64_encoded(bytes);
            assert_eq!(encoded.trim_end_matches('=').as_bytes(), text);
            assert_eq!(encoded.len() % 4, 0);
        }
    }

    #[test]
    fn each_alphabet_has_its_own_last_digits() {
        assert_eq!(
            base64_decoded(b"+/+/", *b"+/"),
            base64_decoded(b"-_-_", *b"-_")
        );
        for (text, last) in [(b"-_-_", *b"+/"), (b"+/+/", *b"-_"), (b"Zg==", *b"+/")] {
            assert_eq!(base64_decoded(text, last), None);
        }
        assert_eq!(base64_decoded(b"Zm9vY", *b"+/"), None);
    }
}
