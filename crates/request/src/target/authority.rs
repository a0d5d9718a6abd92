// SPDX-License-Identifier: Apache-2.0
use crate::fields::{Entry, Fields, Span};
use crate::{Reject, Scheme};
use std::io::Write;
use std::net::Ipv6Addr;

/// Longest name in the DNS, RFC 1035 §2.3.4, as text.
const NAME_LIMIT: usize = 253;

/// A canonical authority in an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authority {
    /// `host[:port]`.
    pub(crate) whole: Span,
    /// Bytes of `whole` that are the host.
    pub(crate) host_length: u32,
    /// `None` when not given or the scheme's default.
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// The host alone.
    #[inline]
    pub(crate) fn host(self) -> Span {
        Span {
            length: self.host_length,
            ..self.whole
        }
    }
}

/// Appends the canonical form of `text`, a `Host` value or the authority of a target, to `arena`:
/// lower case, no dot at the end, an IPv6 address in brackets as RFC 5952 writes it, no port that
/// the scheme implies.
///
/// Stricter than RFC 3986 §3.2: a name is letters, digits, `-`, `_` and dots between labels; no
/// escapes, no userinfo, no zone; a name that ends in a number is an IPv4 address in its one
/// dotted form.
///
/// # Errors
/// `http_request_error`, with bytes left behind in `arena`.
pub(crate) fn canonical_authority(
    text: &[u8],
    scheme: Scheme,
    arena: &mut Vec<u8>,
) -> Result<Authority, Reject> {
    let start = arena.len();
    let rest = match text {
        [b'[', rest @ ..] => push_ipv6(rest, arena)?,
        _ => push_name(text, arena)?,
    };
    let host_length = Span::tail(arena, start).length;
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] => {
            let port = parse_port(digits)
                .ok_or(Reject::request("a port that is no number from 1 to 65535"))?;
            Some(port).filter(|&port| port != scheme.default_port())
        }
        _ => {
            return Err(Reject::request(
                "a host with characters that must not stand there",
            ));
        }
    };
    if port.is_some() {
        // Without leading zeros, so these are its canonical digits.
        arena.extend_from_slice(rest);
    }
    Ok(Authority {
        whole: Span::tail(arena, start),
        host_length,
        port,
    })
}

/// As [`canonical_authority`] for the value of the field `host`. A value that is canonical already
/// is used where it lies.
///
/// # Errors
/// `http_request_error`.
#[inline]
pub(crate) fn canonical_host(
    fields: &mut Fields,
    host: Entry,
    scheme: Scheme,
) -> Result<Authority, Reject> {
    let value = host.value(&fields.arena);
    if let Some((host_length, length, port)) = canonical_lengths(value, scheme) {
        let whole = Span {
            length: length as u32,
            ..host.value_span()
        };
        return Ok(Authority {
            whole,
            host_length: host_length as u32,
            port,
        });
    }
    // Out of the arena before the canonical form goes into it.
    let mut copy = [0; NAME_LIMIT + 8];
    let copy = copy
        .get_mut(..value.len())
        .ok_or(Reject::request("an empty or overlong host"))?;
    copy.copy_from_slice(value);
    canonical_authority(copy, scheme, &mut fields.arena)
}

/// Where host and authority end in `text` if it is canonical but for a port that the scheme
/// implies, and the port; `None` for whatever [`canonical_authority`] would change or refuse, and
/// for IPv6.
#[inline]
fn canonical_lengths(text: &[u8], scheme: Scheme) -> Option<(usize, usize, Option<u16>)> {
    let mut before = b'.';
    let mut length = 0;
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'.' if before != b'.' => {}
            b':' => break,
            _ => return None,
        }
        before = byte;
        length += 1;
    }
    let (name, rest) = text.split_at_checked(length)?;
    if before == b'.' || length > NAME_LIMIT || !is_name_or_address(name) {
        return None;
    }
    let [b':', digits @ ..] = rest else {
        return Some((length, length, None));
    };
    match parse_port(digits)? {
        port if port == scheme.default_port() => Some((length, length, None)),
        port => Some((length, text.len(), Some(port))),
    }
}

/// Whether `name` is no number, or an IPv4 address in its one dotted form: `127.1`, `0x7f.0.0.1` and
/// `0177.0.0.1` are one address to some and names to others.
#[inline]
fn is_name_or_address(name: &[u8]) -> bool {
    let label = memchr::memrchr(b'.', name)
        .and_then(|dot| name.get(dot + 1..))
        .unwrap_or(name);
    // Whether it would be read as a number (WHATWG URL, "ends in a number").
    let is_number = match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [b'0'..=b'9', ..] => label.iter().all(u8::is_ascii_digit),
        _ => return true,
    };
    !is_number || is_ipv4(name)
}

/// Whether `name` is four numbers up to 255 without leading zeros.
#[inline]
fn is_ipv4(name: &[u8]) -> bool {
    let mut parts = 0;
    name.split(|&byte| byte == b'.').all(|part| {
        parts += 1;
        matches!(
            part,
            [b'0'..=b'9']
                | [b'1'..=b'9', b'0'..=b'9']
                | [b'1', b'0'..=b'9', b'0'..=b'9']
                | [b'2', b'0'..=b'4', b'0'..=b'9']
                | [b'2', b'5', b'0'..=b'5']
        )
    }) && parts == 4
}

/// Appends the name at the start of `text`; returns what follows it.
#[inline]
fn push_name<'a>(text: &'a [u8], arena: &mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let end = memchr::memchr(b':', text).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(Reject::request("an empty or overlong host"));
    }
    let start = arena.len();
    let mut before = b'.';
    for &byte in name {
        let is_fit = byte.is_ascii_alphanumeric()
            || byte == b'-'
            || byte == b'_'
            || (byte == b'.' && before != b'.');
        if !is_fit {
            return Err(Reject::request(
                "a host with characters that must not stand there",
            ));
        }
        arena.push(byte.to_ascii_lowercase());
        before = byte;
    }
    if before == b'.' {
        return Err(Reject::request("an empty label in a host"));
    }
    if !is_name_or_address(arena.get(start..).unwrap_or_default()) {
        return Err(Reject::request("a host that is nearly an IPv4 address"));
    }
    Ok(rest)
}

/// `text` follows the opening bracket.
fn push_ipv6<'a>(text: &'a [u8], arena: &mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let bad = Reject::request("a host in brackets that is no IPv6 address");
    let end = memchr::memchr(b']', text).ok_or(bad)?;
    let (address, rest) = text.split_at_checked(end).ok_or(bad)?;
    let address: Ipv6Addr = std::str::from_utf8(address)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(bad)?;
    // Writing to a Vec cannot fail.
    let _ = write!(arena, "[{address}]");
    Ok(rest.get(1..).unwrap_or_default())
}

/// 1 to 65535 without leading zeros.
#[inline]
fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || digits.first() == Some(&b'0') {
        return None;
    }
    let mut port = 0;
    for &digit in digits {
        port = port * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u16::try_from(port).ok()
}
