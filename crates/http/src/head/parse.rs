// SPDX-License-Identifier: Apache-2.0
use super::HeadLimits;
use tidegate_core::ErrorKind;
use tidegate_request::{
    Method, Options, Parts, Reject, Request, Response, Scheme, SectionError, Storage, Version,
    syntax,
};

/// Parses `head`, as long as [`super::HeadScanner`] said, into the canonical request.
///
/// # Errors
/// The refusal, with the storage for the next message: `request_target_size`,
/// `request_header_size` for too many fields, `http_version_not_supported` for another version than
/// 1.0 and 1.1, `http_request_error` for what is no head, and what [`Request::build`] refuses.
#[allow(clippy::result_large_err)] // the storage goes back to its owner without a box
pub fn parse_request(
    head: &[u8],
    mut storage: Storage,
    limits: &HeadLimits,
    scheme: Scheme,
    options: Options,
) -> Result<Request, (Reject, Storage)> {
    match request_parts(head, &mut storage, limits, scheme) {
        Ok(parts) => Request::build(storage, parts, options),
        Err(reject) => Err((reject, storage)),
    }
}

#[inline]
fn request_parts<'a>(
    head: &'a [u8],
    storage: &mut Storage,
    limits: &HeadLimits,
    scheme: Scheme,
) -> Result<Parts<'a>, Reject> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let (line, section) = start_line(head).map_err(Reject::request)?;
    // The target may not hold a space, which is judged with the target.
    let space =
        memchr::memchr(b' ', line).ok_or(Reject::request("a request line without target"))?;
    let (method, rest) = line.split_at_checked(space).unwrap_or_default();
    let rest = rest.get(1..).unwrap_or_default();
    let (target, version) = rest
        .split_last_chunk::<9>()
        .and_then(|(target, version)| Some((target, version.strip_prefix(b" HTTP/")?)))
        .ok_or(Reject::request("a request line without version"))?;
    let version = match version {
        b"1.1" => Version::Http11,
        b"1.0" => Version::Http10,
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Reject::new(
                ErrorKind::VersionNotSupported,
                "a version other than HTTP/1.0 and HTTP/1.1",
            ));
        }
        _ => return Err(Reject::request("a request line without version")),
    };
    if target.len() > limits.target_size {
        return Err(Reject::new(
            ErrorKind::RequestTargetSize,
            "the target is too long",
        ));
    }
    storage
        .fields_mut()
        .load(section, limits.header_fields)
        .map_err(|error| match error {
            SectionError::Malformed(detail) => Reject::request(detail),
            SectionError::TooMany => Reject::new(ErrorKind::RequestHeaderSize, "too many fields"),
        })?;
    Ok(Parts {
        method,
        target,
        version,
        scheme,
    })
}

/// Parses `head` into the canonical response to a request of `method`.
///
/// # Errors
/// The refusal, with the storage for the next message: `http_response_header_section_size` for too
/// many fields, `http_protocol_error` for what is no head or another version than 1.0 and 1.1, and
/// what [`Response::build`] refuses.
#[allow(clippy::result_large_err)] // the storage goes back to its owner without a box
pub fn parse_response(
    head: &[u8],
    mut storage: Storage,
    limits: &HeadLimits,
    method: Method,
) -> Result<Response, (Reject, Storage)> {
    match response_parts(head, &mut storage, limits) {
        Ok((version, status)) => Response::build(storage, status, version, method),
        Err(reject) => Err((reject, storage)),
    }
}

#[inline]
fn response_parts(
    head: &[u8],
    storage: &mut Storage,
    limits: &HeadLimits,
) -> Result<(Version, u16), Reject> {
    let (line, section) = start_line(head).map_err(Reject::response)?;
    let bad = Reject::response("a malformed status line");
    let (version, rest) = line.split_first_chunk::<9>().ok_or(bad)?;
    let version = match version {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => {
            return Err(Reject::response(
                "a version other than HTTP/1.0 and HTTP/1.1",
            ));
        }
    };
    let (status, reason) = rest.split_first_chunk::<3>().ok_or(bad)?;
    if !status.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    let status = status
        .iter()
        .fold(0, |status, &digit| status * 10 + u16::from(digit - b'0'));
    // Some servers leave out the space where the reason is empty.
    match reason {
        [] => {}
        [b' ', reason @ ..] if syntax::is_field_value(reason) => {}
        _ => return Err(bad),
    }
    storage
        .fields_mut()
        .load(section, limits.header_fields)
        .map_err(|error| match error {
            SectionError::Malformed(detail) => Reject::response(detail),
            SectionError::TooMany => {
                Reject::new(ErrorKind::HttpResponseHeaderSectionSize, "too many fields")
            }
        })?;
    Ok((version, status))
}

/// The first line without CRLF, and what follows it.
#[inline]
fn start_line(head: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let end = memchr::memchr(b'\n', head).ok_or("a head without end")?;
    let (line, rest) = head.split_at_checked(end).unwrap_or_default();
    let line = line
        .strip_suffix(b"\r")
        .ok_or("a line that ends in a bare LF")?;
    Ok((line, rest.get(1..).unwrap_or_default()))
}
