// SPDX-License-Identifier: Apache-2.0

macro_rules! well_known {
    ($( $variant:ident = $name:literal; )*) => {
        /// A field name the engine knows, recognised once when a field is added, so that nobody
        /// compares names on the request path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FieldId {
            /// Any other name.
            Other,
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        /// Names in lower case, by identifier; the first is no name.
        const NAMES: &[&str] = &["", $( $name, )*];
        const IDS: &[FieldId] = &[FieldId::Other, $( FieldId::$variant, )*];
    };
}

well_known! {
    Host = "host";
    Connection = "connection";
    ContentLength = "content-length";
    TransferEncoding = "transfer-encoding";
    KeepAlive = "keep-alive";
    ProxyConnection = "proxy-connection";
    Te = "te";
    Trailer = "trailer";
    Upgrade = "upgrade";
    Http2Settings = "http2-settings";
    Proxy = "proxy";
    ProxyAuthorization = "proxy-authorization";
    ProxyAuthenticate = "proxy-authenticate";
    ProxyAuthenticationInfo = "proxy-authentication-info";
    Expect = "expect";
    MaxForwards = "max-forwards";
    Via = "via";
    Forwarded = "forwarded";
    XForwardedFor = "x-forwarded-for";
    XForwardedProto = "x-forwarded-proto";
    XForwardedHost = "x-forwarded-host";
    XForwardedPort = "x-forwarded-port";
    XForwardedPrefix = "x-forwarded-prefix";
    XRealIp = "x-real-ip";
    XClientIp = "x-client-ip";
    TrueClientIp = "true-client-ip";
    XRequestId = "x-request-id";
    XOriginalUrl = "x-original-url";
    XRewriteUrl = "x-rewrite-url";
    XHttpMethodOverride = "x-http-method-override";
    XMiddlewareSubrequest = "x-middleware-subrequest";
    Authorization = "authorization";
    Cookie = "cookie";
    UserAgent = "user-agent";
    Accept = "accept";
    AcceptEncoding = "accept-encoding";
    AcceptLanguage = "accept-language";
    Referer = "referer";
    Origin = "origin";
    Range = "range";
    IfRange = "if-range";
    IfMatch = "if-match";
    IfNoneMatch = "if-none-match";
    IfModifiedSince = "if-modified-since";
    CacheControl = "cache-control";
    ContentType = "content-type";
    ContentEncoding = "content-encoding";
    ContentRange = "content-range";
    ContentLocation = "content-location";
    Traceparent = "traceparent";
    Tracestate = "tracestate";
    Server = "server";
    XPoweredBy = "x-powered-by";
    Date = "date";
    Location = "location";
    SetCookie = "set-cookie";
    Etag = "etag";
    LastModified = "last-modified";
    Expires = "expires";
    Vary = "vary";
    RetryAfter = "retry-after";
    WwwAuthenticate = "www-authenticate";
    ProxyStatus = "proxy-status";
}

// `FieldSet` holds one bit for each.
const _: () = assert!(NAMES.len() <= 64);

/// Slot of a name: length, first byte, the byte at three quarters and last byte, letters in lower
/// case, times a multiplier found by search under which no two well-known names meet.
const fn slot(length: usize, first: u8, late: u8, last: u8) -> usize {
    let letters = u32::from_le_bytes([0, first | 0x20, late | 0x20, last | 0x20]);
    (((letters | length as u32).wrapping_mul(0x842e_7fc3)) >> 24) as usize
}

/// A well-known name in its slot; an empty slot has length 0.
#[derive(Clone, Copy)]
struct Known {
    name: [u8; LONGEST],
    length: u8,
    id: FieldId,
}

const LONGEST: usize = 32;

static SLOTS: [Known; 256] = {
    let mut slots = [Known {
        name: [0; LONGEST],
        length: 0,
        id: FieldId::Other,
    }; 256];
    let mut id = 1;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        let slot = slot(
            name.len(),
            name[0],
            name[name.len() * 3 / 4],
            name[name.len() - 1],
        );
        assert!(
            slots[slot].length == 0,
            "two well-known names share a slot: search another multiplier"
        );
        let (target, _) = slots[slot].name.split_at_mut(name.len());
        target.copy_from_slice(name);
        slots[slot].length = name.len() as u8;
        slots[slot].id = IDS[id];
        id += 1;
    }
    slots
};

/// Whether `name` is `known`, which is in lower case, in any case of letters. In words, the last one
/// overlapping the one before.
#[inline]
fn is_same(known: &[u8], name: &[u8]) -> bool {
    if known.len() != name.len() {
        return false;
    }
    if let (Some(known_last), Some(last)) = (known.last_chunk(), name.last_chunk()) {
        let words = known.as_chunks().0.iter().zip(name.as_chunks().0);
        return words.fold(is_same_word(known_last, last), |is_same, (known, word)| {
            is_same & is_same_word(known, word)
        });
    }
    match (
        known.first_chunk(),
        name.first_chunk(),
        known.last_chunk(),
        name.last_chunk(),
    ) {
        (Some(known_first), Some(first), Some(known_last), Some(last)) => {
            is_same_word(&widen(known_first), &widen(first))
                & is_same_word(&widen(known_last), &widen(last))
        }
        _ => known.eq_ignore_ascii_case(name),
    }
}

fn widen(half: &[u8; 4]) -> [u8; 8] {
    u64::from(u32::from_le_bytes(*half)).to_le_bytes()
}

/// A byte may differ in bit 5 where the known one is a letter, which is where it has bit 6: the
/// other bytes of well-known names, `-` and `2`, have not.
#[inline]
fn is_same_word(known: &[u8; 8], word: &[u8; 8]) -> bool {
    let known = u64::from_le_bytes(*known);
    let case = (known & 0x4040_4040_4040_4040) >> 1;
    (known ^ u64::from_le_bytes(*word)) & !case == 0
}

impl FieldId {
    /// The identifier of `name`, in any case of letters.
    #[inline]
    pub fn recognise(name: &[u8]) -> Self {
        let (Some(&first), Some(&late), Some(&last)) =
            (name.first(), name.get(name.len() * 3 / 4), name.last())
        else {
            return Self::Other;
        };
        let known = &SLOTS[slot(name.len(), first, late, last)];
        let text = known
            .name
            .get(..usize::from(known.length))
            .unwrap_or_default();
        if is_same(text, name) {
            known.id
        } else {
            Self::Other
        }
    }

    /// The name in lower case; empty for [`FieldId::Other`].
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Every well-known name.
    pub fn all() -> impl Iterator<Item = Self> {
        IDS.iter().copied().skip(1)
    }
}

/// A set of well-known names, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    /// The set of `ids`. [`FieldId::Other`] may be a member like any other.
    pub const fn of(ids: &[FieldId]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < ids.len() {
            bits |= 1 << (ids[index] as u8);
            index += 1;
        }
        Self(bits)
    }

    /// The members of both sets.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set less `id`.
    pub const fn without(self, id: FieldId) -> Self {
        Self(self.0 & !(1 << (id as u8)))
    }

    /// Whether `id` is a member.
    #[inline]
    pub const fn has(self, id: FieldId) -> bool {
        self.0 & (1 << (id as u8)) != 0
    }

    /// Whether the two sets share a member.
    #[inline]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) fn add(&mut self, id: FieldId) {
        self.0 |= 1 << (id as u8);
    }
}
