// SPDX-License-Identifier: Apache-2.0
//! A request somebody asks about, for an explanation.
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use tidegate_http::parse_request;
use tidegate_request::{Options, Request, Scheme};

/// A request somebody asks about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) method: String,
    /// Absolute, or a path with query.
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// The client's address; 127.0.0.1 when left out.
    #[serde(default)]
    pub(crate) client: Option<IpAddr>,
    /// The address that is dialled; the listener's when left out, and 127.0.0.1 where it is at all.
    #[serde(default)]
    pub(crate) local_address: Option<IpAddr>,
    /// What the client says first, as `begins` of a match has it; nothing when left out.
    #[serde(default)]
    pub(crate) begins: Option<String>,
    /// The listener's name; the first when left out, for `https://` the first that speaks TLS.
    #[serde(default)]
    pub(crate) listener: Option<String>,
}

impl Question {
    /// The address that is dialled where a listener has `written` as its own; `None` for a Unix
    /// socket, which has none.
    pub(crate) fn local_address(&self, written: &str) -> Option<IpAddr> {
        let own: IpAddr = written.parse().ok()?;
        let dialled = self.local_address.unwrap_or(match own.is_unspecified() {
            true => IpAddr::from([127, 0, 0, 1]),
            false => own,
        });
        Some(dialled.to_canonical())
    }

    /// The host of the URL, without its port.
    pub(crate) fn host(&self) -> Option<&str> {
        let authority = split_url(&self.url).0?;
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        }
    }

    /// The question as a request, through the parser of the wire.
    pub(crate) fn canonical(
        &self,
        options: &Options,
        limits: &tidegate_http::HeadLimits,
        scheme: Scheme,
    ) -> Result<Result<Request, Value>, String> {
        let (authority, mut target) = split_url(&self.url);
        if options.is_proxy && authority.is_some() {
            // A forward proxy is asked by the URL as a whole, or by host and port.
            target = match self.method.as_str() {
                "CONNECT" => authority.unwrap_or_default(),
                _ => &self.url,
            };
        }
        let has_host = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut head = format!("{} {target} HTTP/1.1\r\n", self.method);
        if let Some(authority) = authority.filter(|_| !has_host) {
            head.push_str(&format!("Host: {authority}\r\n"));
        }
        for (name, value) in &self.headers {
            if value.contains(['\r', '\n']) {
                return Err(format!("the value of {name} has a line break"));
            }
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let parsed = parse_request(
            head.as_bytes(),
            Default::default(),
            limits,
            scheme,
            *options,
        );
        Ok(parsed.map_err(|(reject, _)| {
            json!({"outcome": "reject", "status": reject.status(), "kind": reject.kind.name(), "detail": reject.detail})
        }))
    }
}

fn split_url(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://").filter(|_| !url.starts_with('/')) else {
        return (None, url);
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest.split_at_checked(at) {
        Some((authority, "")) => (Some(authority), "/"),
        Some((authority, target)) => (Some(authority), target),
        None => (None, url),
    }
}
