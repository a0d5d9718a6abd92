// SPDX-License-Identifier: Apache-2.0
use tidegate_request::{FieldError, Fields};

/// Why a header or trailer section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionError {
    /// It is malformed in this way.
    Malformed(&'static str),
    /// It has more fields than allowed.
    TooMany,
}

impl From<FieldError> for SectionError {
    fn from(error: FieldError) -> Self {
        Self::Malformed(error.text())
    }
}

/// Reads `section`, `*( field-name ":" OWS field-value OWS CRLF ) CRLF` (RFC 9112 §5), into
/// `fields`, whose former content goes.
///
/// Our own tokens rather than httparse's: [`Fields`] must judge every name and value in any case,
/// since HTTP/2 and filters bring theirs too, and finding `:` and CRLF is all that is left. Both
/// ways were measured at the same speed.
///
/// # Errors
/// A line that does not end in CRLF, begins with white space (obs-fold), has no colon, white space
/// before it or no name; a control character; bytes after the empty line; more than `most` fields.
#[inline]
pub(crate) fn read_section(
    fields: &mut Fields,
    section: &[u8],
    most: usize,
) -> Result<(), SectionError> {
    fields.load(section)?;
    let mut start = 0;
    loop {
        let rest = section.get(start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest)
            .ok_or(SectionError::Malformed("a header section without end"))?;
        let line = rest.get(..end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(SectionError::Malformed("a line that ends in a bare LF"));
        };
        let next = start + end + 1;
        if line.is_empty() {
            let is_last = next == section.len();
            return if is_last {
                Ok(())
            } else {
                Err(SectionError::Malformed("bytes after the header section"))
            };
        }
        if fields.len() >= most {
            return Err(SectionError::TooMany);
        }
        let colon =
            memchr::memchr(b':', line).ok_or(SectionError::Malformed("a field without colon"))?;
        let value = line.get(colon + 1..).unwrap_or_default();
        let before = value.iter().take_while(|&&byte| is_blank(byte)).count();
        let value = value.get(before..).unwrap_or_default();
        let after = value
            .iter()
            .rev()
            .take_while(|&&byte| is_blank(byte))
            .count();
        let value_start = start + colon + 1 + before;
        fields.push_span(
            start..start + colon,
            value_start..value_start + value.len() - after,
        )?;
        start = next;
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
