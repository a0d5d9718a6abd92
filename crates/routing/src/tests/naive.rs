// SPDX-License-Identifier: Apache-2.0
//! The router as one would write it for clarity alone: judge every route, take the best. The
//! oracle of the property tests; shares no code with the tables.
use crate::Ends;
use std::cmp::Reverse;
use std::net::IpAddr;
use tidegate_config::{FieldMatch, FieldMatchKind, PathKind, PathMatch, Route};
use tidegate_request::Request;

/// Where a request came in.
pub(crate) struct At<'a> {
    pub(crate) listener: &'a str,
    pub(crate) ends: Ends,
}

/// The index of the route that takes the request.
pub(crate) fn find(routes: &[Route], at: &At<'_>, request: &Request) -> Option<usize> {
    let fits = routes
        .iter()
        .enumerate()
        .filter(|(_, route)| first_miss(route, at, request) == "fits");
    fits.max_by_key(|(index, route)| (precedence(route, request), Reverse(*index)))
        .map(|(index, _)| index)
}

/// The first part in which they differ; `fits` when none does.
pub(crate) fn first_miss(route: &Route, at: &At<'_>, request: &Request) -> &'static str {
    let asked = &route.matches;
    let headers: Vec<_> = request
        .fields()
        .iter()
        .map(|f| (text(f.name).to_lowercase(), text(f.value)))
        .collect();
    let query: Vec<_> = request
        .query_pairs()
        .map(|(name, value)| (unquote(name), unquote(value)))
        .collect();
    let cookies: Vec<_> = request
        .cookies()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    if !route.listeners.is_empty() && !route.listeners.iter().any(|name| name == at.listener) {
        "listener"
    } else if host_level(route, request).is_none() {
        "host"
    } else if !path_fits(&asked.path, request.path()) {
        "path"
    } else if !asked.methods.is_empty()
        && !asked
            .methods
            .iter()
            .any(|method| method == request.method())
    {
        "method"
    } else if !asked
        .headers
        .iter()
        .all(|field| field_fits(field, &field.name.to_lowercase(), &headers))
    {
        "header"
    } else if !asked
        .query
        .iter()
        .all(|field| field_fits(field, &field.name, &query))
    {
        "query"
    } else if !asked
        .cookies
        .iter()
        .all(|field| field_fits(field, &field.name, &cookies))
    {
        "cookie"
    } else if !asked.clients.is_empty()
        && !asked
            .clients
            .iter()
            .any(|net| in_network(net, at.ends.client))
    {
        "client"
    } else if !asked.local_addresses.is_empty()
        && !asked
            .local_addresses
            .iter()
            .any(|net| at.ends.local.is_some_and(|local| in_network(net, local)))
    {
        "local address"
    } else {
        "fits"
    }
}

/// 0 for a route without hosts, the length of the best wildcard, or more than any for an exact
/// host.
fn host_level(route: &Route, request: &Request) -> Option<usize> {
    if route.hosts.is_empty() {
        return Some(0);
    }
    let host = request.host()?;
    let level = |pattern: &String| match pattern.strip_prefix('*') {
        None => (pattern == host).then_some(usize::MAX),
        Some(suffix) => {
            (host.ends_with(suffix) && host.len() > suffix.len()).then_some(suffix.len())
        }
    };
    route.hosts.iter().filter_map(level).max()
}

fn path_fits(pattern: &PathMatch, path: &str) -> bool {
    let value = pattern.value.as_str();
    match pattern.kind {
        PathKind::Exact => path == value,
        PathKind::Prefix => {
            let value = value.trim_end_matches('/');
            path == value || path.starts_with(&format!("{value}/"))
        }
        PathKind::Template => {
            let wanted: Vec<_> = value.split('/').collect();
            let given: Vec<_> = path.split('/').collect();
            let one = |(wanted, given): (&&str, &&str)| {
                if wanted.starts_with('{') {
                    wanted.ends_with("*}") || !given.is_empty()
                } else {
                    wanted == given
                }
            };
            let long_enough = if value.ends_with("*}") {
                given.len() >= wanted.len()
            } else {
                given.len() == wanted.len()
            };
            long_enough && wanted.iter().zip(&given).all(one)
        }
        PathKind::Regex => whole(value, path),
    }
}

fn precedence(route: &Route, request: &Request) -> impl Ord {
    let asked = &route.matches;
    let value = asked.path.value.trim_end_matches('/');
    let literals = value
        .split('/')
        .filter(|segment| !segment.starts_with('{'))
        .count();
    let path = match asked.path.kind {
        PathKind::Exact => (3, 0),
        PathKind::Template => (2, literals),
        PathKind::Prefix => (1, value.len()),
        PathKind::Regex => (0, 0),
    };
    let counts = (asked.headers.len(), asked.query.len(), asked.cookies.len());
    (
        host_level(route, request),
        path,
        !asked.methods.is_empty(),
        counts,
        !asked.clients.is_empty(),
        !asked.local_addresses.is_empty(),
    )
}

fn field_fits(field: &FieldMatch, name: &str, given: &[(String, String)]) -> bool {
    let values: Vec<_> = given
        .iter()
        .filter(|(other, _)| other == name)
        .map(|(_, value)| value)
        .collect();
    match (field.kind, values.as_slice()) {
        (FieldMatchKind::Present, values) => !values.is_empty(),
        (FieldMatchKind::Exact, [value]) => **value == field.value.reveal(),
        (FieldMatchKind::Regex, [value]) => whole(field.value.reveal(), value),
        (FieldMatchKind::Exact | FieldMatchKind::Regex, _) => false,
    }
}

fn in_network(network: &str, client: IpAddr) -> bool {
    let (address, length) = network.split_once('/').unwrap();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (4, u128::from(u32::from(address)) << 96),
        IpAddr::V6(address) => (6, u128::from(address)),
    };
    let (network, client) = (bits(address.parse().unwrap()), bits(client.to_canonical()));
    let length: u32 = length.parse().unwrap();
    network.0 == client.0 && (length == 0 || (network.1 ^ client.1) >> (128 - length) == 0)
}

fn whole(pattern: &str, value: &str) -> bool {
    regex::Regex::new(&format!("^(?:{pattern})$"))
        .unwrap()
        .is_match(value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn unquote(raw: &[u8]) -> String {
    let raw = text(raw).replace('+', " ");
    let mut parts = raw.split('%');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        match part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[2..]);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}
