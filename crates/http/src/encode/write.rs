// SPDX-License-Identifier: Apache-2.0
use tidegate_request::syntax;

/// Appends one field line. Name and value come from `Fields` or are fixed, so they are fit.
#[inline]
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a text the engine composed. One that would break the line is left out: whatever made
/// it, it must not become a second field.
#[inline]
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    let is_fit = syntax::is_field_value(text.as_bytes());
    debug_assert!(is_fit, "a control character in {text:?}");
    if is_fit {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends `Content-Length`.
#[inline]
pub(crate) fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}
