// SPDX-License-Identifier: Apache-2.0
use crate::connection::Connection;
use crate::fields::{FieldId, Fields, Span, UNTRUSTED, has_untrusted_prefix, recognise_folded};
use crate::framing;
use crate::judge;
use crate::target::{self, Form};
use crate::{Reject, Request, Scheme, Storage, Version};

/// Fields whose second value one reader would check and another believe. `Host`, the framing fields
/// and `Expect` are judged where they are read.
const SINGLE: [FieldId; 2] = [FieldId::Authorization, FieldId::ContentType];

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
    match read(&mut storage.fields, parts, options) {
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

fn read(fields: &mut Fields, parts: Parts<'_>, options: Options) -> Result<Found, Reject> {
    let Parts {
        version, scheme, ..
    } = parts;
    let method = judge::method(parts.method)?;
    for id in SINGLE {
        if fields.count(id) > 1 {
            return Err(Reject::request(
                "Authorization or Content-Type more than once",
            ));
        }
    }
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
        expects_continue: judge::expect(fields, version)? && !framing.is_empty(),
        has_upgrade: judge::upgrade(fields, version, connection, framing)?,
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
    judge::authority(fields, authority, &mut request)?;
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
