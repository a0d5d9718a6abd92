// SPDX-License-Identifier: Apache-2.0
//! What is written upstream and to the client.

mod request;
mod response;
mod round;

use super::{Forwarding, HttpDate, ResponseContext, encode_request, encode_response};
use crate::{HeadLimits, parse_request, parse_response};
use tidegate_request::{Framing, Method, Options, Request, Response, Scheme, Storage, Version};

pub(crate) const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 8 << 10,
};

pub(crate) const FORWARDING: Forwarding<'static> = Forwarding {
    client: "192.0.2.1",
    pseudonym: "gateway",
    is_anonymous: false,
    to_proxy: None,
    prefix: None,
    request_id: "id1",
    framing: Framing::None,
    passes_expect: false,
};

pub(crate) fn context() -> ResponseContext<'static> {
    ResponseContext {
        version: Version::Http11,
        keep_alive: true,
        pseudonym: "gateway",
        date: HttpDate::at(784_111_777),
        is_local: false,
    }
}

/// The request that `head` is, from a peer trusted or not. Lines are divided by LF here for the
/// reader's sake.
pub(crate) fn parse(head: &str, is_trusted: bool) -> Request {
    let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
    let options = Options {
        is_trusted,
        ..Options::default()
    };
    parse_request(
        head.as_bytes(),
        Storage::new(),
        &LIMITS,
        Scheme::Http,
        options,
    )
    .map_err(|(reject, _)| reject)
    .unwrap()
}

/// What `head` becomes on its way upstream, by lines.
pub(crate) fn forward(head: &str, is_trusted: bool, forwarding: Forwarding<'_>) -> Vec<String> {
    let mut out = Vec::new();
    encode_request(&mut out, &parse(head, is_trusted), &forwarding);
    lines(&out)
}

/// A GET with these lines, from an untrusted peer.
pub(crate) fn get(fields: &str) -> Vec<String> {
    forward(
        format!("GET / HTTP/1.1\nHost: h\n{fields}").trim_end(),
        false,
        FORWARDING,
    )
}

/// The response that `head` is, to `method`.
pub(crate) fn response(head: &str, method: Method) -> Response {
    let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
    parse_response(head.as_bytes(), Storage::new(), &LIMITS, method)
        .map_err(|(reject, _)| reject)
        .unwrap()
}

/// What `head`, an answer to GET, becomes on its way to the client, by lines.
pub(crate) fn answer(head: &str, context: ResponseContext<'_>) -> Vec<String> {
    let mut out = Vec::new();
    encode_response(&mut out, &response(head, Method::Get), &context);
    lines(&out)
}

pub(crate) fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).unwrap();
    let lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    lines.map(ToOwned::to_owned).collect()
}

/// Whether one of `lines` is the field `name`.
pub(crate) fn has(lines: &[String], name: &str) -> bool {
    lines.iter().any(|line| {
        line.split(':')
            .next()
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
    })
}
