// SPDX-License-Identifier: Apache-2.0
use crate::connection::Connection;
use crate::fields::{
    FieldId, FieldSet, Fields, Span, UNTRUSTED, has_untrusted_prefix, recognise_folded,
};
use crate::framing::{self, Framing};
use crate::target::{self, Form};
use crate::{Method, Reject, Request, Scheme, Storage, Version, syntax};
use tidegate_core::ErrorKind;

/// Longest method taken; the longest registered one has 17 characters.
const METHOD_LIMIT: usize = 40;

/// What a codec read of a request beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// As received.
    pub method: &'a [u8],
    /// The request target, as received, in any of its forms (RFC 9112 §3.2).
    pub target: &'a [u8],
    /// As received.
    pub version: Version,
    /// Of the connection.
    pub scheme: Scheme,
}

/// What a listener decides about its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether `//` in a path means `/`.
    pub merge_slashes: bool,
    /// Whether the peer is one of `trusted_proxies`. Of any other peer, what it says in
    /// `Forwarded`, `X-Forwarded-*`, `X-Request-Id` and the like is removed here, before anyone reads it.
    pub is_trusted: bool,
}

impl Default for Options {
    /// Slashes merged, peer not trusted.
    fn default() -> Self {
        Self {
            merge_slashes: true,
            is_trusted: false,
        }
    }
}

/// What is found out about a request while its memory stays in the storage.
struct Found {
    request: Request,
    connection: Connection,
}

/// Builds the one canonical request from `parts` and the fields in `storage`.
///
/// # Errors
/// See [`Request::build`].
pub(crate) fn build(
    mut storage: Storage,
    parts: Parts<'_>,
    options: Options,
) -> Result<Request, (Reject, Storage)> {
    match judge(&mut storage.fields, parts, options) {
        Ok(Found {
            mut request,
            connection,
        }) => {
            connection.remove_nominated(&mut storage.fields);
            remove_spoofed(&mut storage.fields, options.is_trusted);
            request.storage = storage;
            Ok(request)
        }
        Err(reject) => Err((reject, storage)),
    }
}

fn judge(fields: &mut Fields, parts: Parts<'_>, options: Options) -> Result<Found, Reject> {
    let Parts {
        version, scheme, ..
    } = parts;
    let method = judge_method(parts.method)?;
    let connection =
        Connection::read(fields).ok_or(Reject::request("too many options in Connection"))?;
    let framing = framing::of_request(fields, version)?;
    let form = target::split(parts.target, method, scheme)?;
    let mut request = Request {
        storage: Storage::new(),
        kind: method,
        method: Span::default(),
        path: Span::default(),
        query: None,
        authority: Span::default(),
        host_length: 0,
        received_authority: Span::default(),
        port: None,
        scheme,
        version,
        framing,
        is_asterisk: matches!(form, Form::Asterisk { .. }),
        keeps_alive: connection.is_kept(version),
        expects_continue: judge_expect(fields, version)? && !framing.is_empty(),
        has_upgrade: judge_upgrade(fields, version, connection, framing)?,
        merge_slashes: options.merge_slashes,
    };
    request.method = push(&mut fields.arena, parts.method);
    let authority = match form {
        Form::Asterisk { authority } => {
            request.path = push(&mut fields.arena, b"*");
            authority
        }
        Form::Path {
            authority,
            path,
            query,
        } => {
            let start = fields.arena.len();
            target::canonical_path(path, options.merge_slashes, &mut fields.arena)?;
            request.path = Span::tail(&fields.arena, start);
            if let Some(query) = query {
                target::check_query(query)?;
                request.query = Some(push(&mut fields.arena, query));
            }
            authority
        }
    };
    judge_authority(fields, authority, &mut request)?;
    Ok(Found {
        request,
        connection,
    })
}

#[inline]
fn push(arena: &mut Vec<u8>, text: &[u8]) -> Span {
    let start = arena.len();
    arena.extend_from_slice(text);
    Span::tail(arena, start)
}

#[inline]
fn judge_method(name: &[u8]) -> Result<Method, Reject> {
    let method = Method::recognise(name);
    if method != Method::Other {
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

/// Host and port, from the target if it names them, else from `Host`. RFC 9112 §3.2.2, §3.3.
///
/// `Host` is judged even where the target's authority wins, and must be there once in HTTP/1.1.
#[inline]
fn judge_authority(
    fields: &mut Fields,
    from_target: Option<&[u8]>,
    request: &mut Request,
) -> Result<(), Reject> {
    let mut hosts = fields
        .entries
        .iter()
        .filter(|entry| entry.id == FieldId::Host);
    let host = hosts.next().copied();
    if hosts.next().is_some() {
        return Err(Reject::request("Host more than once"));
    }
    if host.is_none() && request.version >= Version::Http11 {
        return Err(Reject::request("no Host"));
    }
    let mut authority = None;
    if let Some(host) = host {
        authority = Some(target::canonical_host(fields, host, request.scheme)?);
    }
    if let Some(text) = from_target {
        authority = Some(target::canonical_authority(
            text,
            request.scheme,
            &mut fields.arena,
        )?);
    }
    if let Some(authority) = authority {
        request.take_authority(authority);
        request.received_authority = request.authority;
    }
    Ok(())
}

/// Whether `100-continue` is expected; any other expectation is refused. RFC 9110 §10.1.1.
#[inline]
fn judge_expect(fields: &Fields, version: Version) -> Result<bool, Reject> {
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
fn judge_upgrade(
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

/// Removes what pretends: names that CGI would fold onto a well-known one (`Content_Length`), and
/// from peers that are not trusted what only proxies may say.
fn remove_spoofed(fields: &mut Fields, is_trusted: bool) {
    let is_spoofed = |id: FieldId, is_odd: bool, name: &[u8]| match id {
        FieldId::Other => {
            (is_odd && recognise_folded(name) != FieldId::Other)
                || ((is_odd || !is_trusted) && has_untrusted_prefix(name))
        }
        id => !is_trusted && UNTRUSTED.has(id),
    };
    let arena = &fields.arena;
    if fields
        .entries
        .iter()
        .any(|entry| is_spoofed(entry.id, entry.is_odd, entry.name(arena)))
    {
        fields.retain(|entry, arena| !is_spoofed(entry.id, entry.is_odd, entry.name(arena)));
    }
}
