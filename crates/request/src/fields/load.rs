// SPDX-License-Identifier: Apache-2.0
use super::section::ARENA_LIMIT;
use super::{FieldError, FieldId, Fields};
use crate::syntax;
use std::fmt;

/// Why a header or trailer section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionError {
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

impl fmt::Display for SectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(detail) => formatter.write_str(detail),
            Self::TooMany => formatter.write_str("too many fields"),
        }
    }
}

impl std::error::Error for SectionError {}

impl Fields {
    /// Reads `section`, `*( field-name ":" OWS field-value OWS CRLF ) CRLF` (RFC 9112 §5), in place
    /// of what was there. One copy, and no allocation once the memory has grown to it.
    ///
    /// It stands here and not in a codec, so that there is no way to put a name or value into
    /// [`Fields`] that was not judged. The tokens are ours and not httparse's for the same reason:
    /// names and values must be judged here in any case, and finding `:` and CRLF is all that is
    /// left. httparse alone took as long as all of this; tests hold the two against each other.
    ///
    /// # Errors
    /// A line that does not end in CRLF, begins with white space (obs-fold), has no colon, no name
    /// or white space before the colon; a control character; anything after the empty line; more
    /// than `most` fields. The fields may hold part of the section then.
    pub fn load(&mut self, section: &[u8], most: usize) -> Result<(), SectionError> {
        self.clear();
        if section.len() > ARENA_LIMIT {
            return Err(FieldError::Size.into());
        }
        self.arena.extend_from_slice(section);
        let mut start = 0;
        loop {
            let line = section.get(start..).unwrap_or_default();
            if let [b'\r', b'\n', rest @ ..] = line {
                let is_last = rest.is_empty();
                return if is_last {
                    Ok(())
                } else {
                    Err(SectionError::Malformed("bytes after the header section"))
                };
            }
            if self.entries.len() >= most {
                return Err(SectionError::TooMany);
            }
            let name = syntax::find_colon(line).ok_or_else(|| bad_name(line))?;
            let name_text = line.get(..name).unwrap_or_default();
            let before = blanks(line, name + 1);
            let value = line.get(before..).unwrap_or_default();
            let end = syntax::find_control(value);
            let Some([b'\r', b'\n']) = value.get(end..end + 2) else {
                return Err(line_end(value, end));
            };
            let text = value.get(..end).unwrap_or_default().trim_ascii_end();
            let value_start = start + before;
            let id = FieldId::recognise(name_text);
            if id == FieldId::Other && !syntax::is_token(name_text) {
                return Err(bad_name(line));
            }
            self.push(
                id,
                start..start + name,
                value_start..value_start + text.len(),
            )?;
            start = value_start + end + 2;
        }
    }
}

#[cold]
fn bad_name(line: &[u8]) -> SectionError {
    SectionError::Malformed(match line.first() {
        Some(b' ' | b'\t') => "a folded line",
        Some(b':') => "a field without name",
        _ => "a field name that is no token, or without colon",
    })
}

/// Where the spaces and tabs that begin at `start` end.
#[inline]
fn blanks(line: &[u8], mut start: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(start) {
        start += 1;
    }
    start
}

#[cold]
fn line_end(value: &[u8], end: usize) -> SectionError {
    SectionError::Malformed(match value.get(end) {
        Some(b'\n') => "a line that ends in a bare LF",
        Some(b'\r') => "a bare CR",
        Some(_) => FieldError::Value.text(),
        None => "a header section without end",
    })
}
