// SPDX-License-Identifier: Apache-2.0
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A host that a route serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// This host, as the canonical request spells it: lower case, IPv6 in brackets.
    Exact(Arc<str>),
    /// Any host with at least one label before `.` and this suffix.
    Wildcard(Arc<str>),
}

impl HostPattern {
    /// Reads a host: `api.example.com`, `*.example.com`, `10.0.0.1`, `[2001:db8::1]`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        if value == "*" {
            return Err("`*` takes any host; leave `hosts` out instead".into());
        }
        if value.starts_with('[') || value.parse::<Ipv6Addr>().is_ok() {
            return parse_ipv6(value);
        }
        let lower = value.to_ascii_lowercase();
        if let Some(suffix) = lower.strip_prefix("*.") {
            check_name(value, suffix)?;
            return Ok(Self::Wildcard(suffix.into()));
        }
        check_name(value, &lower)?;
        Ok(Self::Exact(lower.as_str().into()))
    }

    /// Whether `host` is one of these.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => host
                .strip_suffix(&**suffix)
                .and_then(|left| left.strip_suffix('.'))
                .is_some_and(|left| !left.is_empty()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => out.write_str(name),
            Self::Wildcard(suffix) => write!(out, "*.{suffix}"),
        }
    }
}

/// The suffixes of `host` that a wildcard may name, the most specific first.
pub(crate) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    // From the second byte: a wildcard stands for at least one letter.
    host.bytes()
        .enumerate()
        .skip(1)
        .filter(|(_, byte)| *byte == b'.')
        .filter_map(|(dot, _)| host.get(dot + 1..))
}

fn parse_ipv6(value: &str) -> Result<HostPattern, String> {
    let inner = value
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    match inner.unwrap_or(value).parse::<Ipv6Addr>() {
        Ok(address) if inner.is_some() => Ok(HostPattern::Exact(format!("[{address}]").into())),
        Ok(address) => Err(format!(
            "`{value}` is an IPv6 address without brackets; write `[{address}]`"
        )),
        Err(_) => Err(format!(
            "`{value}` is no host; write an IPv6 address as `[2001:db8::1]`, without a port"
        )),
    }
}

/// Whether a name ends like an IPv4 address: in a number, decimal or hexadecimal. Some resolvers
/// take `10.0.1` and `0x7f.1` for addresses, and no top-level domain is a number.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Checks a name of letters, digits, `-` and `_` in labels (RFC 1123 §2.1; `_` because it is in use).
fn check_name(value: &str, name: &str) -> Result<(), String> {
    if name.contains('*') {
        return Err(format!(
            "`{value}` has `*` in a place where it means nothing; write it first, as in `*.example.com`"
        ));
    }
    if let Some((host, port)) = name.split_once(':') {
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_port {
            format!("`{value}` has a port; write `{host}` and choose the port by `listeners`")
        } else {
            format!("`{value}` is no host; write the name alone, such as `api.example.com`")
        });
    }
    if let Some(bare) = name.strip_suffix('.') {
        return Err(format!(
            "`{value}` ends in a dot, which requests have removed; write `{bare}`"
        ));
    }
    if !name.is_ascii() {
        return Err(format!(
            "`{value}` is not ASCII; write its `xn--` form, which is what clients send"
        ));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(format!(
            "`{value}` is no host; write a name such as `api.example.com`"
        ));
    }
    // A wildcard before an address would be one of these as well.
    if ends_in_number(name) && (name != value || name.parse::<Ipv4Addr>().is_err()) {
        return Err(format!(
            "`{value}` is no IPv4 address; write four numbers, such as `10.0.0.1`"
        ));
    }
    Ok(())
}
