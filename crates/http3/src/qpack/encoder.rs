// SPDX-License-Identifier: Apache-2.0
//! Writes field sections that refer to the static table alone, RFC 9204 §4.5.
use super::static_table;
use tidegate_http2::sections::{huffman, integer, is_credential};
use tidegate_request::FieldId;

/// Begins a section: it refers to no dynamic table.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0]);
}

/// Appends `:status`, three digits.
#[inline]
pub(crate) fn status(out: &mut Vec<u8>, status: u16) {
    let digits = [status / 100 % 10, status / 10 % 10, status % 10];
    let digits = digits.map(|digit| b'0' + digit as u8);
    line(out, b":status", &digits, false);
}

/// Appends a pseudo field of a request.
#[inline]
pub(crate) fn pseudo(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    line(out, name, value, false);
}

/// Appends a field. `name` may have letters in upper case; it is written in lower case. `lower` is room
/// for that.
#[inline]
pub(crate) fn field(
    out: &mut Vec<u8>,
    id: FieldId,
    name: &[u8],
    value: &[u8],
    is_secret: bool,
    lower: &mut Vec<u8>,
) {
    if id != FieldId::Other {
        let name = id.name().as_bytes();
        return line(out, name, value, is_secret || is_credential(id, name));
    }
    lower.clear();
    lower.extend_from_slice(name);
    lower.make_ascii_lowercase();
    line(out, lower, value, is_secret || is_credential(id, lower));
}

/// Values are coded, since no table pays for one that comes again: what goes over the wire is a quarter
/// less each time.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8], is_secret: bool) {
    match static_table::find(name, value) {
        Some((index, true)) if !is_secret => integer::write(out, index, 6, 0xc0),
        Some((index, _)) => {
            let pattern = if is_secret { 0x70 } else { 0x50 };
            integer::write(out, index, 4, pattern);
            string(out, value, 7, 0);
        }
        None => {
            let pattern = if is_secret { 0x30 } else { 0x20 };
            string(out, name, 3, pattern);
            string(out, value, 7, 0);
        }
    }
}

fn string(out: &mut Vec<u8>, text: &[u8], bits: u32, pattern: u8) {
    let length = huffman::encoded_length(text);
    if length >= text.len() {
        integer::write(out, text.len(), bits, pattern);
        out.extend_from_slice(text);
        return;
    }
    integer::write(out, length, bits, pattern | 1 << bits);
    huffman::encode(text, out);
}
