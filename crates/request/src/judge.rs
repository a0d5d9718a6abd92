// SPDX-License-Identifier: Apache-2.0
//! What a request says beside its framing, each judged once.
use crate::connection::Connection;
use crate::fields::{FieldId, FieldSet, Fields};
use crate::framing::Framing;
use crate::target::{self, Authority};
use crate::{Method, Reject, Scheme, Version, syntax};
use tidegate_core::ErrorKind;

/// Longest method taken; the longest registered one has 17 characters.
const METHOD_LIMIT: usize = 40;

/// Fields whose second value one reader would check and another believe. `Host`, the framing fields
/// and `Expect` are judged where they are read.
const SINGLE: [FieldId; 2] = [FieldId::Authorization, FieldId::ContentType];

/// What the method means. TRACE is refused, which shows fields that intermediaries added, and CONNECT
/// but by a forward proxy, which is asked to be a tunnel.
#[inline]
pub(crate) fn method(name: &[u8], is_proxy: bool) -> Result<Method, Reject> {
    let method = Method::recognise(name);
    if method != Method::Other && (method != Method::Connect || is_proxy) {
        return Ok(method);
    }
    if !syntax::is_token(name) || name.len() > METHOD_LIMIT {
        return Err(Reject::request("a method that is no token"));
    }
    // In any case of letters: an origin server may not care about case.
    let is_refused = [&b"TRACE"[..], b"TRACK", b"CONNECT"]
        .iter()
        .any(|refused| refused.eq_ignore_ascii_case(name));
    if is_refused {
        return Err(Reject::new(ErrorKind::MethodNotAllowed, "TRACE or CONNECT"));
    }
    Ok(method)
}

/// Refuses second values of fields that have one.
#[inline]
pub(crate) fn single(fields: &Fields) -> Result<(), Reject> {
    if SINGLE.iter().any(|&id| fields.count(id) > 1) {
        return Err(Reject::request(
            "Authorization or Content-Type more than once",
        ));
    }
    Ok(())
}

/// Host and port, from the target if it names them, else from `Host`; empty for HTTP/1.0 without
/// either. RFC 9112 §3.2.2, §3.3. The field gets the canonical value.
///
/// `Host` is judged even where the target's authority wins, and must be there once in HTTP/1.1.
#[inline]
pub(crate) fn authority(
    fields: &mut Fields,
    from_target: Option<&[u8]>,
    version: Version,
    scheme: Scheme,
) -> Result<Authority, Reject> {
    let mut hosts = fields
        .entries
        .iter()
        .filter(|entry| entry.id == FieldId::Host);
    let host = hosts.next().copied();
    if hosts.next().is_some() {
        return Err(Reject::request("Host more than once"));
    }
    if host.is_none() && version >= Version::Http11 {
        return Err(Reject::request("no Host"));
    }
    let mut authority = match host {
        // What a client sends that has no name for the server, and a gateway before this one that
        // was asked without Host (RFC 9112 §3.2): routes without hosts take it.
        Some(host) if host.value(&fields.arena).is_empty() => Authority::default(),
        Some(host) => target::canonical_host(fields, host, scheme)?,
        None => Authority::default(),
    };
    if let Some(text) = from_target {
        authority = target::canonical_authority(text, scheme, &mut fields.arena)?;
    }
    // Whoever reads the field must see what routing sees.
    fields.replace_value(FieldId::Host, authority.whole);
    Ok(authority)
}

/// Whether `100-continue` is expected; any other expectation is refused. RFC 9110 §10.1.1.
#[inline]
pub(crate) fn expect(fields: &Fields, version: Version) -> Result<bool, Reject> {
    let mut values = fields.get_all(FieldId::Expect);
    let Some(value) = values.next() else {
        return Ok(false);
    };
    if !value.eq_ignore_ascii_case(b"100-continue") || values.next().is_some() {
        return Err(Reject::new(
            ErrorKind::ExpectationFailed,
            "an expectation other than 100-continue",
        ));
    }
    Ok(version >= Version::Http11)
}

/// Whether one protocol is offered that may be passed on. RFC 9110 §7.8.
///
/// A list of protocols and h2c are ignored, as a server may. With content an upgrade is refused:
/// the bytes after the head would be content to one reader and the new protocol to another.
#[inline]
pub(crate) fn upgrade(
    fields: &Fields,
    version: Version,
    connection: Connection,
    framing: Framing,
) -> Result<bool, Reject> {
    if !fields.may_have(FieldSet::of(&[FieldId::Upgrade]))
        || !connection.upgrade
        || version < Version::Http11
    {
        return Ok(false);
    }
    let mut values = fields.get_all(FieldId::Upgrade);
    let (Some(protocol), None) = (values.next(), values.next()) else {
        return Ok(false);
    };
    let name = protocol
        .split(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    let is_plain = protocol
        .iter()
        .all(|&byte| byte == b'/' || syntax::is_token_byte(byte));
    if !is_plain || name.is_empty() || name.eq_ignore_ascii_case(b"h2c") {
        return Ok(false);
    }
    if !framing.is_empty() {
        return Err(Reject::request("an upgrade with content"));
    }
    Ok(true)
}
