// SPDX-License-Identifier: Apache-2.0
use super::HeadLimits;
use tidegate_core::ErrorKind;
use tidegate_request::{Reject, syntax};

/// Bytes a request line may have beside its target: a method of 40, two spaces, `HTTP/1.1`, CRLF.
const LINE_EXTRA: usize = 52;

/// Finds the end of a head in a buffer that grows, looking at each byte once.
///
/// What it answers depends on the bytes alone, never on how they were split into reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    /// Bytes looked at.
    seen: usize,
    /// Where the line begins whose end comes next.
    line: usize,
    /// The start line's end was seen.
    has_start_line: bool,
    is_response: bool,
}

impl HeadScanner {
    /// For requests.
    pub const fn new() -> Self {
        Self {
            seen: 0,
            line: 0,
            has_start_line: false,
            is_response: false,
        }
    }

    /// For responses.
    pub const fn for_response() -> Self {
        Self {
            is_response: true,
            ..Self::new()
        }
    }

    /// Looks at what has been added to `buffer` since the last call; returns the length of the head
    /// once it is there, and is ready for the next.
    ///
    /// `buffer` begins where the head does, the same on each call but for bytes added at the end.
    /// One empty line before a request line counts as part of the head (RFC 9112 §2.2).
    ///
    /// # Errors
    /// As soon as no further byte can help, for requests: `http_request_error` for a line that ends
    /// in a bare LF or a first byte that begins no method, `request_target_size` for a start line
    /// longer than the target's limit allows, `request_header_size`. For responses:
    /// `http_protocol_error` and `http_response_header_section_size`. The scanner is of no use after.
    #[inline]
    pub fn scan(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Reject> {
        let window = buffer
            .get(..buffer.len().min(limits.header_size))
            .unwrap_or_default();
        if self.seen == 0 {
            self.check_first(window)?;
        }
        let fresh = window.get(self.seen..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', fresh) {
            let end = self.seen + at;
            if !self.has_start_line && self.is_long(end, limits) {
                return Err(self.too_long());
            }
            if end == 0 || buffer.get(end - 1) != Some(&b'\r') {
                return Err(self.malformed("a line that ends in a bare LF"));
            }
            let is_empty = end == self.line + 1;
            self.line = end + 1;
            if !is_empty {
                self.has_start_line = true;
            } else if self.has_start_line {
                *self = Self {
                    is_response: self.is_response,
                    ..Self::new()
                };
                return Ok(Some(end + 1));
            } else if end > 1 || self.is_response {
                return Err(self.malformed("an empty line where the start line should be"));
            }
        }
        self.seen = window.len();
        if !self.has_start_line && self.is_long(self.seen, limits) {
            return Err(self.too_long());
        }
        if window.len() == limits.header_size {
            return Err(if self.has_start_line {
                self.too_large()
            } else {
                self.too_long()
            });
        }
        Ok(None)
    }

    /// Refuses what cannot begin a head at its first byte, such as TLS on a port without it.
    fn check_first(&self, window: &[u8]) -> Result<(), Reject> {
        match window.first() {
            Some(&byte) if byte != b'\r' && !syntax::is_token_byte(byte) => {
                Err(self.malformed("a first byte that begins no start line"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a start line that is not over before `end` is too long.
    fn is_long(&self, end: usize, limits: &HeadLimits) -> bool {
        !self.is_response
            && end.saturating_sub(self.line) >= limits.target_size.saturating_add(LINE_EXTRA)
    }

    fn malformed(&self, detail: &'static str) -> Reject {
        if self.is_response {
            Reject::response(detail)
        } else {
            Reject::request(detail)
        }
    }

    fn too_long(&self) -> Reject {
        if self.is_response {
            return self.too_large();
        }
        Reject::new(ErrorKind::RequestTargetSize, "the request line is too long")
    }

    fn too_large(&self) -> Reject {
        if self.is_response {
            Reject::new(
                ErrorKind::HttpResponseHeaderSectionSize,
                "the header section is too large",
            )
        } else {
            Reject::new(
                ErrorKind::RequestHeaderSize,
                "the header section is too large",
            )
        }
    }
}
