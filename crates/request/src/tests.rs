// SPDX-License-Identifier: Apache-2.0
//! What is refused, and what a message that is taken has become. Names give the section or the row
//! of the catalogue of attacks.

mod claim;
mod framing;
mod identity;
mod request;
mod response;

use crate::{Fields, Method, Options, Parts, Reject, Request, Response, Scheme, Storage, Version};

pub(crate) const HOST: (&str, &str) = ("Host", "example.com");

/// A storage that holds `fields`.
pub(crate) fn storage(fields: &[(&str, &str)]) -> Storage {
    let mut storage = Storage::new();
    for (name, value) in fields {
        storage
            .fields_mut()
            .append(name.as_bytes(), value.as_bytes())
            .unwrap();
    }
    storage
}

/// What becomes of a request received on plain HTTP from an untrusted peer.
pub(crate) fn build(
    method: &str,
    target: &str,
    version: Version,
    fields: &[(&str, &str)],
) -> Result<Request, Reject> {
    let parts = Parts {
        method: method.as_bytes(),
        target: target.as_bytes(),
        version,
        scheme: Scheme::Http,
    };
    Request::build(storage(fields), parts, Options::default()).map_err(|(reject, _)| reject)
}

/// A GET of `target` in HTTP/1.1.
pub(crate) fn get(target: &str, fields: &[(&str, &str)]) -> Result<Request, Reject> {
    build("GET", target, Version::Http11, fields)
}

/// A POST of `/` to example.com in HTTP/1.1.
pub(crate) fn post(fields: &[(&str, &str)]) -> Result<Request, Reject> {
    build("POST", "/", Version::Http11, &[&[HOST], fields].concat())
}

/// The status a refusal gives; 0 for what was taken.
pub(crate) fn status<T>(outcome: Result<T, Reject>) -> u16 {
    outcome.err().map_or(0, |reject| reject.status())
}

/// A response in HTTP/1.1.
pub(crate) fn respond(
    code: u16,
    method: Method,
    fields: &[(&str, &str)],
) -> Result<Response, Reject> {
    Response::build(storage(fields), code, Version::Http11, method).map_err(|(reject, _)| reject)
}

/// Names and values as text.
pub(crate) fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}
