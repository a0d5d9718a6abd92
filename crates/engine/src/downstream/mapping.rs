// SPDX-License-Identifier: Apache-2.0
//! Maps what an endpoint says about its own paths and host back to what the client knows, so that
//! no answer tells where the endpoint is.
use super::cookies;
use crate::decide::Mapping;
use crate::snapshot::EndpointList;
use std::net::SocketAddr;
use tidegate_net::Target;
use tidegate_request::{FieldId, FieldSet, Fields, Request, Response};

/// Fields that may name a path or place of the endpoint; the other ones are `Refresh` and `Link`.
const MAPPED: FieldSet = FieldSet::of(&[
    FieldId::Location,
    FieldId::ContentLocation,
    FieldId::SetCookie,
    FieldId::Via,
    FieldId::Other,
]);
/// Stands in `Via` for an endpoint's address: the pseudonym of RFC 9110 §7.6.3.
const HIDDEN: &str = "hidden";

/// Whether [`map_back`] has anything to look at.
#[inline]
pub(crate) fn may_need_mapping(response: &Response) -> bool {
    response.fields().may_have(MAPPED)
}

/// Rewrites `Location`, `Content-Location`, `Refresh`, `Link` and `Via`, and the path and domain of
/// cookies. Anything else an endpoint writes is its own affair.
pub(crate) fn map_back(
    response: &mut Response,
    request: &Request,
    mapping: Option<&Mapping>,
    list: &EndpointList,
) {
    let way = Way {
        mapping,
        list,
        scheme: request.scheme(),
        outer: request.received_authority(),
    };
    let fields = response.fields_mut();
    way.each(fields, "location", |value| way.reference(value));
    way.each(fields, "content-location", |value| way.reference(value));
    way.each(fields, "refresh", |value| way.refresh(value));
    way.each(fields, "link", |value| way.links(value));
    way.each(fields, "via", |value| way.via(value));
    way.each(fields, "set-cookie", |value| cookies::map(value, &way));
}

/// From what the endpoint knows to what the client knows.
pub(super) struct Way<'a> {
    mapping: Option<&'a Mapping>,
    list: &'a EndpointList,
    scheme: &'static str,
    /// The authority that the client asked for.
    pub(super) outer: &'a str,
}

impl Way<'_> {
    /// Gives every field `name` for which `map` has another value that one. All of the name then
    /// stand at the end, in their order.
    fn each(&self, fields: &mut Fields, name: &str, map: impl Fn(&str) -> Option<String>) {
        let name = name.as_bytes();
        let mapped = |value: &[u8]| std::str::from_utf8(value).ok().and_then(&map);
        if !fields
            .get_all_name(name)
            .any(|value| mapped(value).is_some())
        {
            return;
        }
        let values: Vec<Vec<u8>> = fields
            .get_all_name(name)
            .map(|value| mapped(value).map_or_else(|| value.to_vec(), String::into_bytes))
            .collect();
        fields.remove(name);
        for value in values {
            // A value made of a valid value and a configured prefix is valid.
            let _ = fields.append(name, &value);
        }
    }

    /// A URI reference as the client must see it; `None` when it stays.
    fn reference(&self, text: &str) -> Option<String> {
        if text.starts_with('/') && !text.starts_with("//") {
            return self.path(text);
        }
        let (scheme, rest) = match text.strip_prefix("//") {
            Some(rest) => ("", rest),
            None => text.split_once("://")?,
        };
        if !["", "http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return None;
        }
        let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(split)?;
        let is_inner = self.is_inner(authority, scheme);
        let is_outer = self.mapping.is_some() && self.outer.eq_ignore_ascii_case(authority);
        if !is_inner && !is_outer {
            return None;
        }
        let start = match scheme {
            "" => String::new(),
            _ if is_inner => format!("{}:", self.scheme),
            scheme => format!("{scheme}:"),
        };
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        let path = self.path(&path).unwrap_or(path);
        let mapped = format!("{start}//{}{path}", self.outer);
        (mapped != text).then_some(mapped)
    }

    /// A path under the route's rewrite; `None` when it stays.
    pub(super) fn path(&self, path: &str) -> Option<String> {
        let mapping = self.mapping?;
        if mapping.outer == mapping.inner {
            return None;
        }
        // An application that heeds X-Forwarded-Prefix, or knows its root path, has said it already.
        if !mapping.outer.is_empty() && is_below(path, &mapping.outer) {
            return None;
        }
        let rest = path.strip_prefix(mapping.inner.as_str())?;
        let slash = match mapping.outer.is_empty() && !rest.starts_with('/') {
            true => "/",
            false => "",
        };
        is_below(path, &mapping.inner).then(|| format!("{}{slash}{rest}", mapping.outer))
    }

    /// Whether `authority` is the host that the endpoint was told, or the place of an endpoint.
    fn is_inner(&self, authority: &str, scheme: &str) -> bool {
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let told = self
            .mapping
            .and_then(|mapping| mapping.inner_host.as_deref());
        if told.is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
            return true;
        }
        let port = match scheme.eq_ignore_ascii_case("https") {
            true => 443,
            false => 80,
        };
        let whole = match host_of(authority).len() == authority.len() {
            true => format!("{authority}:{port}"),
            false => authority.to_owned(),
        };
        let address: Option<SocketAddr> = whole.parse().ok();
        let endpoints = self.list.endpoints.iter();
        endpoints
            .zip(&self.list.targets)
            .any(|(endpoint, targets)| {
                endpoint.address.eq_ignore_ascii_case(&whole)
                    || address.is_some_and(|address| targets.load().contains(&Target::Ip(address)))
            })
    }

    /// Whether `host`, without a port, is the host that the endpoint was told, or an endpoint's.
    pub(super) fn is_inner_host(&self, host: &str) -> bool {
        let told = self
            .mapping
            .and_then(|mapping| mapping.inner_host.as_deref());
        let endpoints = self.list.endpoints.iter();
        told.into_iter()
            .chain(endpoints.map(|endpoint| &*endpoint.address))
            .any(|inner| host_of(inner).eq_ignore_ascii_case(host))
    }

    /// `5; url=http://...`, as browsers read it.
    fn refresh(&self, value: &str) -> Option<String> {
        let at = value.to_ascii_lowercase().find("url=")?;
        let (before, quoted) = value.split_at_checked(at + 4)?;
        let url = quoted.trim_matches(['"', '\'', ' ']);
        self.reference(url)
            .map(|mapped| format!("{before}{mapped}"))
    }

    /// `<reference>; rel=...`, several after commas. RFC 8288 §3.
    fn links(&self, value: &str) -> Option<String> {
        let mut out = String::with_capacity(value.len() + 64);
        let mut rest = value;
        let mut is_mapped = false;
        while let Some((before, (inside, after))) = rest
            .split_once('<')
            .and_then(|(before, after)| Some((before, after.split_once('>')?)))
        {
            let mapped = self.reference(inside);
            is_mapped |= mapped.is_some();
            out.push_str(before);
            out.push('<');
            out.push_str(mapped.as_deref().unwrap_or(inside));
            out.push('>');
            rest = after;
        }
        out.push_str(rest);
        is_mapped.then_some(out)
    }

    /// `1.1 10.0.0.5:9001 (comment)`: who received it must not be an endpoint's address.
    fn via(&self, value: &str) -> Option<String> {
        let hidden = |member: &str| {
            let mut words = member.split_ascii_whitespace();
            let (protocol, received_by) = (words.next()?, words.next()?);
            self.is_inner(received_by, "http")
                .then(|| format!("{protocol} {HIDDEN}"))
        };
        let members: Vec<&str> = value.split(',').collect();
        if !members.iter().any(|member| hidden(member).is_some()) {
            return None;
        }
        let told = members
            .iter()
            .map(|member| hidden(member).unwrap_or_else(|| member.trim().to_owned()));
        Some(told.collect::<Vec<_>>().join(", "))
    }
}

/// An authority without its port; IPv6 in brackets.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

/// `/inner` and `/inner/x` are below `/inner`, `/innermost` is not.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}
