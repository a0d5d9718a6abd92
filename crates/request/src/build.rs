// SPDX-License-Identifier: Apache-2.0
use crate::connection::Connection;
use crate::fields::{FieldId, Fields, Span, UNTRUSTED, has_untrusted_prefix, recognise_folded};
use crate::framing;
use crate::judge;
use crate::request::Facts;
use crate::target::{self, Form};
use crate::{Method, Reject, Request, Scheme, Storage, Version};

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
    /// Whether it is a forward proxy: CONNECT is taken, and URLs of `http` on any connection.
    pub is_proxy: bool,
}

impl Default for Options {
    /// Slashes merged, peer not trusted, no forward proxy.
    fn default() -> Self {
        Self {
            merge_slashes: true,
            is_trusted: false,
            is_proxy: false,
        }
    }
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
    match read(&mut storage.fields, parts, options) {
        Ok((facts, connection)) => {
            connection.remove_nominated(&mut storage.fields);
            remove_spoofed(&mut storage.fields, options.is_trusted);
            Ok(Request { storage, facts })
        }
        Err(reject) => Err((reject, storage)),
    }
}

fn read(
    fields: &mut Fields,
    parts: Parts<'_>,
    options: Options,
) -> Result<(Facts, Connection), Reject> {
    let Parts {
        version,
        mut scheme,
        ..
    } = parts;
    let kind = judge::method(parts.method, options.is_proxy)?;
    judge::single(fields)?;
    let connection =
        Connection::read(fields).ok_or(Reject::request("too many options in Connection"))?;
    let framing = framing::of_request(fields, version)?;
    let expects_continue = judge::expect(fields, version)? && !framing.is_empty();
    let has_upgrade = judge::upgrade(fields, version, connection, framing)?;
    let is_proxied = options.is_proxy && !matches!(parts.target, [b'/', ..] | b"*");
    let form = match is_proxied {
        true => target::of_proxy(parts.target, kind, &mut scheme)?,
        false => target::split(parts.target, kind, scheme)?,
    };
    if kind == Method::Connect && (!is_proxied || !framing.is_empty()) {
        return Err(Reject::request(
            "CONNECT with content, or without host and port",
        ));
    }
    let method = push(&mut fields.arena, parts.method);
    let (path, query) = write_target(&mut fields.arena, form, options)?;
    let authority = judge::authority(fields, form.authority(), version, scheme)?;
    let facts = Facts {
        kind,
        method,
        path,
        query,
        received_path: path,
        received_authority: authority,
        authority,
        scheme,
        version,
        framing,
        is_asterisk: matches!(form, Form::Asterisk { .. }),
        keeps_alive: connection.is_kept(version),
        expects_continue,
        has_upgrade,
        is_proxied,
        merge_slashes: options.merge_slashes,
    };
    Ok((facts, connection))
}

/// Appends canonical path and query to `arena`.
#[inline]
fn write_target(
    arena: &mut Vec<u8>,
    form: Form<'_>,
    options: Options,
) -> Result<(Span, Option<Span>), Reject> {
    let Form::Path { path, query, .. } = form else {
        return Ok((push(arena, b"*"), None));
    };
    let start = arena.len();
    target::canonical_path(path, options.merge_slashes, arena)?;
    let path = Span::tail(arena, start);
    let Some(query) = query else {
        return Ok((path, None));
    };
    target::check_query(query)?;
    Ok((path, Some(push(arena, query))))
}

#[inline]
fn push(arena: &mut Vec<u8>, text: &[u8]) -> Span {
    let start = arena.len();
    arena.extend_from_slice(text);
    Span::tail(arena, start)
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
        .any(|entry| is_spoofed(entry.id, entry.is_odd(), entry.name(arena)))
    {
        fields.retain(|entry, arena| !is_spoofed(entry.id, entry.is_odd(), entry.name(arena)));
    }
}
