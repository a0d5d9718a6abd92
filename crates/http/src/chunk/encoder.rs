// SPDX-License-Identifier: Apache-2.0
use tidegate_request::Fields;

/// Appends the size line of a chunk of `length` bytes. The data and a CRLF follow it.
///
/// `length` is above 0: a chunk of none would end the message, so nothing is appended for it.
pub fn encode_chunk_head(out: &mut Vec<u8>, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if length == 0 {
        return;
    }
    let mut shift = length.ilog2() / 4 * 4;
    loop {
        out.push(DIGITS[(length >> shift) & 15]);
        if shift == 0 {
            break;
        }
        shift -= 4;
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and the trailer section, which ends the message.
pub fn encode_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.iter() {
        crate::encode::push_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}
