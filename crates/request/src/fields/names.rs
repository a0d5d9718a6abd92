// SPDX-License-Identifier: Apache-2.0
use super::{FieldId, FieldSet};

/// Fields that concern one connection and are written anew on each (RFC 9110 §7.6.1), with those
/// that give credentials to a proxy and `Proxy`, which CGI would turn into `HTTP_PROXY`.
pub const CONNECTION_FIELDS: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Te,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Http2Settings,
    FieldId::ProxyAuthorization,
    FieldId::ProxyAuthenticate,
    FieldId::ProxyAuthenticationInfo,
    FieldId::Proxy,
]);

/// Fields that decide framing, routing or the connection: not for filters to change.
pub const PROTECTED: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Te,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Http2Settings,
    FieldId::Proxy,
    FieldId::ContentLength,
    FieldId::Host,
    FieldId::Trailer,
    FieldId::Expect,
]);

/// What only a trusted proxy may say about the client, or about the request before it came here.
pub const UNTRUSTED: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XForwardedPrefix,
    FieldId::XRealIp,
    FieldId::XClientIp,
    FieldId::TrueClientIp,
    FieldId::XRequestId,
    // What frameworks take as the real method or path, behind the back of routing and policies.
    FieldId::XOriginalUrl,
    FieldId::XRewriteUrl,
    FieldId::XHttpMethodOverride,
    FieldId::XMiddlewareSubrequest,
]);

/// What must not come in a trailer: framing, routing, request modifiers, authentication and how the
/// content is to be read (RFC 9110 §6.5.1); and what only proxies may say.
pub const NOT_IN_TRAILERS: FieldSet = UNTRUSTED.with(FieldSet::of(&[
    FieldId::ContentLength,
    FieldId::Host,
    FieldId::Trailer,
    FieldId::Expect,
    FieldId::MaxForwards,
    FieldId::Via,
    FieldId::Authorization,
    FieldId::Cookie,
    FieldId::SetCookie,
    FieldId::WwwAuthenticate,
    FieldId::Range,
    FieldId::IfRange,
    FieldId::IfMatch,
    FieldId::IfNoneMatch,
    FieldId::IfModifiedSince,
    FieldId::CacheControl,
    FieldId::ContentType,
    FieldId::ContentEncoding,
    FieldId::ContentRange,
    FieldId::ContentLocation,
    FieldId::Location,
    FieldId::Date,
    FieldId::Vary,
    FieldId::Expires,
    FieldId::RetryAfter,
    FieldId::Server,
    FieldId::XPoweredBy,
    FieldId::Traceparent,
    FieldId::Tracestate,
]));

/// Families of names of which no full list exists.
const UNTRUSTED_PREFIXES: [&[u8]; 14] = [
    b"x-forwarded",
    b"x-tidegate-",
    b"x-middleware-",
    b"x-http-method",
    b"x-method-override",
    b"x-cluster-client",
    b"forwarded-",
    b"front-end-https",
    // Whom a client's certificate names: RFC 9440, ours, and what others call it.
    b"client-cert",
    b"x-client-cert",
    b"ssl-client-",
    b"x-ssl-client-",
    b"x-amzn-mtls-",
    // Who calls, as our policies have proved.
    b"x-identity-",
];

/// Whether CGI, WSGI or PHP would see the two names as one: they turn each character that is no
/// letter or digit into `_` and ignore case.
pub fn folds_to(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len()
        && name
            .iter()
            .zip(other)
            .all(|(&left, &right)| fold(left) == fold(right))
}

/// Whether `name`, folded, belongs to a family that only trusted proxies may send.
#[inline]
pub(crate) fn has_untrusted_prefix(name: &[u8]) -> bool {
    matches!(
        name,
        [b'x' | b'X' | b'f' | b'F' | b'c' | b'C' | b's' | b'S', ..]
    ) && UNTRUSTED_PREFIXES.iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| folds_to(start, prefix))
    })
}

/// Whether a trailer may be called `name`: none of [`NOT_IN_TRAILERS`] and [`CONNECTION_FIELDS`], and of
/// no family of names that only proxies may send, read as CGI would.
pub fn may_trail(name: &[u8]) -> bool {
    let folded = recognise_folded(name);
    !NOT_IN_TRAILERS.has(folded) && !CONNECTION_FIELDS.has(folded) && !has_untrusted_prefix(name)
}

/// The well-known name that CGI, WSGI or PHP would make of `name`.
pub fn recognise_folded(name: &[u8]) -> FieldId {
    let mut folded = [0; 32];
    let Some(target) = folded.get_mut(..name.len()) else {
        return FieldId::Other;
    };
    for (to, &from) in target.iter_mut().zip(name) {
        *to = fold(from);
    }
    FieldId::recognise(target)
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}
