// SPDX-License-Identifier: Apache-2.0
use crate::fields::{FieldId, Fields};
use crate::{Method, Reject, Version, syntax};
use tidegate_core::ErrorKind;

/// How a request's content is delimited. RFC 9112 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No content, and no field that says so.
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
}

impl Framing {
    /// Whether no byte of content follows.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// How a response's content is delimited. RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No content: HEAD, 1xx, 204, 304.
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// Whatever comes until the connection closes.
    Close,
}

impl ResponseFraming {
    /// Whether no byte of content follows.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// The one length that `Content-Length` gives, if the field is there.
///
/// Stricter than RFC 9110 §8.6: equal lengths given twice are refused as well, since the next
/// parser may take another.
///
/// # Errors
/// Why it is no length, for the caller to put a kind to.
fn content_length(fields: &Fields) -> Result<Option<u64>, &'static str> {
    let mut values = fields.get_all(FieldId::ContentLength);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("Content-Length more than once");
    }
    if value.is_empty() || value.len() > 19 {
        return Err("a Content-Length that is no number below 2^63");
    }
    let mut length: u64 = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err("a Content-Length that is no number below 2^63");
        }
        // 19 digits stay below 10^19 < 2^64.
        length = length.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
    }
    if length > i64::MAX as u64 {
        return Err("a Content-Length that is no number below 2^63");
    }
    Ok(Some(length))
}

/// The framing of a request. RFC 9112 §6.3, with every error a refusal.
///
/// # Errors
/// `http_request_error` when the fields contradict each other or are malformed,
/// `transfer_coding_unsupported` for a known coding under a final `chunked`.
pub(crate) fn of_request(fields: &Fields, version: Version) -> Result<Framing, Reject> {
    let length = content_length(fields).map_err(Reject::request)?;
    let mut codings = fields.get_all(FieldId::TransferEncoding);
    let Some(coding) = codings.next() else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if length.is_some() {
        return Err(Reject::request("Content-Length beside Transfer-Encoding"));
    }
    if version == Version::Http10 {
        return Err(Reject::request("Transfer-Encoding in HTTP/1.0"));
    }
    if codings.next().is_some() {
        return Err(Reject::request("Transfer-Encoding more than once"));
    }
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    Err(if is_coded_chunked(coding) {
        Reject::new(
            ErrorKind::TransferCodingUnsupported,
            "a transfer coding other than chunked",
        )
    } else {
        Reject::request("a Transfer-Encoding that does not frame the content")
    })
}

/// Whether `coding` is proper HTTP that we do not offer, rather than a disguise of `chunked`.
fn is_coded_chunked(coding: &[u8]) -> bool {
    const KNOWN: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let is_known = |name: &[u8]| KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut names = coding.rsplit(|&byte| byte == b',').map(syntax::trim);
    names
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        && names.all(is_known)
}

/// Whether a response of `status` to `method` may have content. RFC 9110 §6.4.1.
pub(crate) fn has_content(status: u16, method: Method) -> bool {
    method != Method::Head && status >= 200 && status != 204 && status != 304
}

/// The framing of a response to `method`, and the length its fields declare.
///
/// # Errors
/// `http_protocol_error` when the fields contradict each other or are malformed, also where the
/// message has no content whatever they say: a cache or a client behind us might believe them.
pub(crate) fn of_response(
    fields: &Fields,
    version: Version,
    status: u16,
    method: Method,
) -> Result<(ResponseFraming, Option<u64>), Reject> {
    let length = content_length(fields).map_err(Reject::response)?;
    let mut codings = fields.get_all(FieldId::TransferEncoding);
    let coding = codings.next();
    if let Some(coding) = coding {
        if length.is_some() {
            return Err(Reject::response("Content-Length beside Transfer-Encoding"));
        }
        if version == Version::Http10 {
            return Err(Reject::response("Transfer-Encoding in HTTP/1.0"));
        }
        if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::response("a Transfer-Encoding other than chunked"));
        }
    }
    let framing = if !has_content(status, method) {
        ResponseFraming::None
    } else if coding.is_some() {
        ResponseFraming::Chunked
    } else {
        length.map_or(ResponseFraming::Close, ResponseFraming::Length)
    };
    Ok((framing, length))
}
