// SPDX-License-Identifier: Apache-2.0
//! Maps what an endpoint says about its own paths and host back to what the client knows.
use crate::decide::Mapping;
use tidegate_request::{FieldId, Fields, Request, Response};

/// Rewrites `Location`, `Content-Location`, and the path and domain of cookies.
pub(crate) fn map_back(
    response: &mut Response,
    request: &Request,
    mapping: &Mapping,
    outer_host: &str,
) {
    let fields = response.fields_mut();
    for id in [FieldId::Location, FieldId::ContentLocation] {
        let mapped = fields
            .get(id)
            .and_then(|value| location(value, request, mapping, outer_host));
        if let Some(mapped) = mapped {
            // A value made of a valid value and a configured prefix is valid.
            let _ = fields.set(id.name().as_bytes(), &mapped);
        }
    }
    map_cookies(fields, mapping, outer_host);
}

/// `None` when there is nothing to change.
fn location(
    value: &[u8],
    request: &Request,
    mapping: &Mapping,
    outer_host: &str,
) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    if text.starts_with('/') && !text.starts_with("//") {
        return map_path(text, mapping).map(String::into_bytes);
    }
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(split)?;
    let is_inner = mapping
        .inner_host
        .as_deref()
        .is_some_and(|host| host.eq_ignore_ascii_case(authority));
    let is_outer = outer_host.eq_ignore_ascii_case(authority);
    if !is_inner && !is_outer {
        return None;
    }
    let scheme = if is_inner { request.scheme() } else { scheme };
    let path = match path.is_empty() {
        true => "/",
        false => path,
    };
    let path = map_path(path, mapping).unwrap_or_else(|| path.to_owned());
    Some(format!("{scheme}://{outer_host}{path}").into_bytes())
}

fn map_path(path: &str, mapping: &Mapping) -> Option<String> {
    if mapping.outer == mapping.inner {
        return None;
    }
    let rest = path.strip_prefix(mapping.inner.as_str())?;
    // `/inner` and `/inner/x`, never `/innermost`.
    match rest.starts_with(['/', '?', '#']) || rest.is_empty() {
        true => Some(format!("{}{rest}", mapping.outer)),
        false => None,
    }
}

fn map_cookies(fields: &mut Fields, mapping: &Mapping, outer_host: &str) {
    if fields.get(FieldId::SetCookie).is_none() {
        return;
    }
    let cookies: Vec<Vec<u8>> = fields
        .get_all(FieldId::SetCookie)
        .map(|value| cookie(value, mapping, outer_host))
        .collect();
    fields.remove_id(FieldId::SetCookie);
    for cookie in cookies {
        let _ = fields.append(b"Set-Cookie", &cookie);
    }
}

fn cookie(value: &[u8], mapping: &Mapping, outer_host: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else {
        return value.to_vec();
    };
    let mut parts: Vec<String> = Vec::new();
    for (index, part) in text.split(';').enumerate() {
        let (name, attribute) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim();
        if index > 0 && name.eq_ignore_ascii_case("path") {
            let mapped = map_path(attribute.trim(), mapping);
            parts.push(match mapped.as_deref() {
                Some("") => " Path=/".into(),
                Some(path) => format!(" Path={path}"),
                None => part.to_owned(),
            });
        } else if index > 0 && name.eq_ignore_ascii_case("domain") {
            let domain = attribute.trim().trim_start_matches('.');
            let inner = mapping
                .inner_host
                .as_deref()
                .and_then(|host| host.split(':').next());
            match inner.is_some_and(|inner| inner.eq_ignore_ascii_case(domain)) {
                true => parts.push(format!(
                    " Domain={}",
                    outer_host.split(':').next().unwrap_or_default()
                )),
                false => parts.push(part.to_owned()),
            }
        } else {
            parts.push(part.to_owned());
        }
    }
    parts.join(";").into_bytes()
}
