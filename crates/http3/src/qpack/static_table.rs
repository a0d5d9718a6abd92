// SPDX-License-Identifier: Apache-2.0
use std::collections::HashMap;
use std::sync::LazyLock;
use tidegate_http2::sections::{Key, key_of};

/// The static table, RFC 9204 Appendix A: name, value. The first has index 0.
pub(super) static STATIC: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains",
    ),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains; preload",
    ),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    (
        "content-security-policy",
        "script-src 'none'; object-src 'none'; base-uri 'none'",
    ),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// What each name is, so that an indexed field is never looked up by its name.
static KEYS: LazyLock<[Key; 99]> =
    LazyLock::new(|| STATIC.map(|(name, _)| key_of(name.as_bytes())));

/// Index of the first entry with a name, and those of its entries that have a value.
type Places = HashMap<&'static [u8], (usize, Vec<usize>)>;

static BY_NAME: LazyLock<Places> = LazyLock::new(|| {
    let mut found = Places::new();
    for (index, (name, value)) in STATIC.iter().enumerate() {
        let entry = found
            .entry(name.as_bytes())
            .or_insert_with(|| (index, Vec::new()));
        if !value.is_empty() {
            entry.1.push(index);
        }
    }
    found
});

/// The entry at `index`.
#[inline]
pub(super) fn at(index: usize) -> Option<(Key, &'static [u8], &'static [u8])> {
    let (name, value) = STATIC.get(index)?;
    Some((*KEYS.get(index)?, name.as_bytes(), value.as_bytes()))
}

/// Where a field stands, or its name alone: index, and whether the value is the entry's.
#[inline]
pub(super) fn find(name: &[u8], value: &[u8]) -> Option<(usize, bool)> {
    let (first, with_values) = BY_NAME.get(name)?;
    let same = |index: &&usize| {
        STATIC
            .get(**index)
            .is_some_and(|entry| entry.1.as_bytes() == value)
    };
    Some(match with_values.iter().find(same) {
        Some(index) => (*index, true),
        None => (*first, false),
    })
}
