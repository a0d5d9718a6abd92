// SPDX-License-Identifier: Apache-2.0
use crate::HeadLimits;
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Reject, SectionError, may_trail};

/// A trailer section as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Trailers {
    /// The section so far. Without trailers it stays empty and owns no memory.
    text: Vec<u8>,
    /// Bytes of the current line, so far.
    line: usize,
    fields: Fields,
    most_bytes: usize,
    most_fields: usize,
    is_response: bool,
}

impl Trailers {
    pub(crate) fn new(limits: &HeadLimits, is_response: bool) -> Self {
        let (most_bytes, most_fields) = (limits.header_size, limits.header_fields);
        Self {
            text: Vec::new(),
            line: 0,
            fields: Fields::new(),
            most_bytes,
            most_fields,
            is_response,
        }
    }

    /// Takes bytes of the section; returns how many were of it, and whether it is over.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<(usize, bool), Reject> {
        let mut used = 0;
        for &byte in input {
            used += 1;
            if self.text.len() >= self.most_bytes {
                return Err(self.too_large());
            }
            if byte == b'\n' && self.text.last() != Some(&b'\r') {
                return Err(self.malformed("a trailer line that ends in a bare LF"));
            }
            self.text.push(byte);
            self.line += 1;
            if byte == b'\n' {
                if self.line == 2 {
                    self.read()?;
                    return Ok((used, true));
                }
                self.line = 0;
            }
        }
        Ok((used, false))
    }

    pub(crate) fn take_fields(&mut self) -> Fields {
        std::mem::take(&mut self.fields)
    }

    fn read(&mut self) -> Result<(), Reject> {
        let text = std::mem::take(&mut self.text);
        if text.len() == 2 {
            return Ok(());
        }
        let mut read = Fields::new();
        read.load(&text, self.most_fields)
            .map_err(|error| match error {
                SectionError::Malformed(detail) => self.malformed(detail),
                SectionError::TooMany => self.too_large(),
            })?;
        for field in read.iter() {
            if may_trail(field.name) {
                self.fields
                    .append(field.name, field.value)
                    .map_err(|error| self.malformed(error.text()))?;
            }
        }
        Ok(())
    }

    fn malformed(&self, detail: &'static str) -> Reject {
        if self.is_response {
            Reject::response(detail)
        } else {
            Reject::request(detail)
        }
    }

    fn too_large(&self) -> Reject {
        let detail = "too many or too large trailers";
        if self.is_response {
            Reject::new(ErrorKind::HttpResponseHeaderSectionSize, detail)
        } else {
            Reject::new(ErrorKind::RequestHeaderSize, detail)
        }
    }
}
