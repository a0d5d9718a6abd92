// SPDX-License-Identifier: Apache-2.0
use super::Key;
use tidegate_request::FieldId;

/// The static table, RFC 7541 Appendix A: name, value, key. The first has index 1.
pub(super) static STATIC: [(&str, &str, Key); 61] = [
    (":authority", "", Key::Authority),
    (":method", "GET", Key::Method),
    (":method", "POST", Key::Method),
    (":path", "/", Key::Path),
    (":path", "/index.html", Key::Path),
    (":scheme", "http", Key::Scheme),
    (":scheme", "https", Key::Scheme),
    (":status", "200", Key::Status),
    (":status", "204", Key::Status),
    (":status", "206", Key::Status),
    (":status", "304", Key::Status),
    (":status", "400", Key::Status),
    (":status", "404", Key::Status),
    (":status", "500", Key::Status),
    ("accept-charset", "", Key::Field(FieldId::Other)),
    (
        "accept-encoding",
        "gzip, deflate",
        Key::Field(FieldId::AcceptEncoding),
    ),
    ("accept-language", "", Key::Field(FieldId::AcceptLanguage)),
    ("accept-ranges", "", Key::Field(FieldId::Other)),
    ("accept", "", Key::Field(FieldId::Accept)),
    (
        "access-control-allow-origin",
        "",
        Key::Field(FieldId::Other),
    ),
    ("age", "", Key::Field(FieldId::Other)),
    ("allow", "", Key::Field(FieldId::Other)),
    ("authorization", "", Key::Field(FieldId::Authorization)),
    ("cache-control", "", Key::Field(FieldId::CacheControl)),
    ("content-disposition", "", Key::Field(FieldId::Other)),
    ("content-encoding", "", Key::Field(FieldId::ContentEncoding)),
    ("content-language", "", Key::Field(FieldId::Other)),
    ("content-length", "", Key::Field(FieldId::ContentLength)),
    ("content-location", "", Key::Field(FieldId::ContentLocation)),
    ("content-range", "", Key::Field(FieldId::ContentRange)),
    ("content-type", "", Key::Field(FieldId::ContentType)),
    ("cookie", "", Key::Field(FieldId::Cookie)),
    ("date", "", Key::Field(FieldId::Date)),
    ("etag", "", Key::Field(FieldId::Etag)),
    ("expect", "", Key::Field(FieldId::Expect)),
    ("expires", "", Key::Field(FieldId::Expires)),
    ("from", "", Key::Field(FieldId::Other)),
    ("host", "", Key::Field(FieldId::Host)),
    ("if-match", "", Key::Field(FieldId::IfMatch)),
    (
        "if-modified-since",
        "",
        Key::Field(FieldId::IfModifiedSince),
    ),
    ("if-none-match", "", Key::Field(FieldId::IfNoneMatch)),
    ("if-range", "", Key::Field(FieldId::IfRange)),
    ("if-unmodified-since", "", Key::Field(FieldId::Other)),
    ("last-modified", "", Key::Field(FieldId::LastModified)),
    ("link", "", Key::Field(FieldId::Other)),
    ("location", "", Key::Field(FieldId::Location)),
    ("max-forwards", "", Key::Field(FieldId::MaxForwards)),
    (
        "proxy-authenticate",
        "",
        Key::Field(FieldId::ProxyAuthenticate),
    ),
    (
        "proxy-authorization",
        "",
        Key::Field(FieldId::ProxyAuthorization),
    ),
    ("range", "", Key::Field(FieldId::Range)),
    ("referer", "", Key::Field(FieldId::Referer)),
    ("refresh", "", Key::Field(FieldId::Other)),
    ("retry-after", "", Key::Field(FieldId::RetryAfter)),
    ("server", "", Key::Field(FieldId::Server)),
    ("set-cookie", "", Key::Field(FieldId::SetCookie)),
    ("strict-transport-security", "", Key::Field(FieldId::Other)),
    (
        "transfer-encoding",
        "",
        Key::Field(FieldId::TransferEncoding),
    ),
    ("user-agent", "", Key::Field(FieldId::UserAgent)),
    ("vary", "", Key::Field(FieldId::Vary)),
    ("via", "", Key::Field(FieldId::Via)),
    ("www-authenticate", "", Key::Field(FieldId::WwwAuthenticate)),
];

/// Index of the first static entry with the name of each well-known field; 0 for none.
static BY_ID: [u8; 64] = {
    let mut indices = [0; 64];
    let mut index = STATIC.len();
    while index > 0 {
        if let Key::Field(id) = STATIC[index - 1].2
            && !matches!(id, FieldId::Other)
        {
            indices[id as usize] = index as u8;
        }
        index -= 1;
    }
    indices
};

/// Index of the static entry that has the name of the field `id`, `name`; 0 for none.
#[inline]
pub(super) fn name_index(id: FieldId, name: &[u8]) -> usize {
    if id != FieldId::Other {
        return BY_ID.get(id as usize).copied().map_or(0, usize::from);
    }
    match name {
        b"accept-charset" => 15,
        b"accept-ranges" => 18,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"content-disposition" => 25,
        b"content-language" => 27,
        b"from" => 37,
        b"if-unmodified-since" => 43,
        b"link" => 45,
        b"refresh" => 52,
        b"strict-transport-security" => 56,
        _ => 0,
    }
}
