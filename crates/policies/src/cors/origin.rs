// SPDX-License-Identifier: Apache-2.0
use tidegate_request::Request;

/// Whether the one origin that a request names is among `origins`; `None` for a request that names none.
///
/// `origins` are as `https://name:port` in lower case, `https://*.name` for any labels in front, or `same` for the
/// host that is asked. A comparison goes over each byte once, whatever is sent.
pub fn is_listed_origin(origins: &[String], request: &Request) -> Option<bool> {
    let mut given = request.fields().get_all_name(b"origin");
    let origin = given.next()?;
    let Ok(origin) = std::str::from_utf8(origin).map(str::to_ascii_lowercase) else {
        return Some(false);
    };
    let is_listed = origins.iter().any(|listed| match listed.as_str() {
        "same" => is_own(&origin, request),
        listed => match listed.split_once("*.") {
            None => origin == listed,
            Some((scheme, rest)) => {
                let name = origin.strip_prefix(scheme);
                name.and_then(|name| name.strip_suffix(rest))
                    .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
            }
        },
    });
    Some(is_listed && given.next().is_none())
}

/// Whether a page is of the host that it asks.
fn is_own(origin: &str, request: &Request) -> bool {
    let host = request.host().unwrap_or_default();
    let own = match request.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let rest = origin.split_once("://").map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(&own))
}
