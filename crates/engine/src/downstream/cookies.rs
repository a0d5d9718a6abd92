// SPDX-License-Identifier: Apache-2.0
//! `Path` and `Domain` of cookies on their way back (RFC 6265 §4.1).
use super::mapping::{Way, host_of};
use std::net::IpAddr;

/// The value of a `Set-Cookie` as the client must see it; `None` when it stays.
pub(super) fn map(value: &str, way: &Way<'_>) -> Option<String> {
    // Such a cookie is refused by browsers with another path or with any domain.
    let is_bound = value
        .trim_start()
        .get(..7)
        .is_some_and(|name| name.eq_ignore_ascii_case("__Host-"));
    if is_bound {
        return None;
    }
    let mut is_mapped = false;
    let mut parts: Vec<String> = Vec::new();
    for (index, part) in value.split(';').enumerate() {
        let (name, given) = part.split_once('=').unwrap_or((part, ""));
        let (name, given) = (name.trim(), given.trim());
        let mapped = match index {
            0 => None,
            _ if name.eq_ignore_ascii_case("path") => path(given, way),
            _ if name.eq_ignore_ascii_case("domain") => domain(given, way),
            _ => None,
        };
        is_mapped |= mapped.is_some();
        match mapped {
            Some(attribute) if attribute.is_empty() => {}
            Some(attribute) => parts.push(format!(" {attribute}")),
            None => parts.push(part.to_owned()),
        }
    }
    is_mapped.then(|| parts.join(";"))
}

fn path(given: &str, way: &Way<'_>) -> Option<String> {
    let mapped = way.path(given)?;
    // `Path=/app/` would leave `/app` itself out (RFC 6265 §5.1.4).
    Some(match mapped.trim_end_matches('/') {
        "" => "Path=/".to_owned(),
        path => format!("Path={path}"),
    })
}

/// Empty where the attribute has to go: a domain is never an address.
fn domain(given: &str, way: &Way<'_>) -> Option<String> {
    if !way.is_inner_host(given.trim_start_matches('.')) {
        return None;
    }
    let outer = host_of(way.outer);
    let is_address = outer.starts_with('[') || outer.parse::<IpAddr>().is_ok();
    Some(match is_address || outer.is_empty() {
        true => String::new(),
        false => format!("Domain={outer}"),
    })
}
