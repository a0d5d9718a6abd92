// SPDX-License-Identifier: Apache-2.0
use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_client::{Answer, Question, Version};
use tidegate_request::Fields;
use tidegate_tls::Authorities;

/// Protocol, status, fields, content.
type Told = (String, u16, Vec<(String, String)>, Vec<u8>);

/// Sends one GET over HTTP/2 or HTTP/3, `version` being `2` or `3`, to `address` (`IP:port`), which must have
/// a certificate for `server_name` that one of `authorities` (PEM) has signed; of the system's without them.
///
/// Returns what was agreed on (`h2`, `h3`), status, fields and content. What happened instead is a
/// `ConnectionError`, what can not be asked a `ValueError`, each with a text for people.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // a call from Python, by name
pub(crate) fn ask(
    py: Python<'_>,
    version: &str,
    address: &str,
    server_name: &str,
    authority: &str,
    path: &str,
    fields: Vec<(String, String)>,
    authorities: Option<&str>,
    patience: f64,
) -> PyResult<Told> {
    let version = match version {
        "2" => Version::Http2,
        "3" => Version::Http3,
        _ => return Err(PyValueError::new_err("the version must be 2 or 3")),
    };
    let address: SocketAddr = address
        .parse()
        .map_err(|_| PyValueError::new_err("the address must be IP:port"))?;
    let mut more = Fields::new();
    for (name, value) in &fields {
        more.append(name.as_bytes(), value.as_bytes())
            .map_err(|error| PyValueError::new_err(format!("{name}: {}", error.text())))?;
    }
    let authorities = match authorities {
        Some(text) => Authorities::read(text, "authorities"),
        None => Authorities::system(),
    };
    let question = Question {
        version,
        address,
        server_name,
        authority,
        path,
        fields: &more,
        authorities: &authorities.map_err(PyValueError::new_err)?,
        patience: Duration::try_from_secs_f64(patience)
            .map_err(|error| PyValueError::new_err(error.to_string()))?,
    };
    py.detach(|| tidegate_client::ask(&question))
        .map(told)
        .map_err(PyConnectionError::new_err)
}

fn told(answer: Answer) -> Told {
    let text = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
    let fields = answer.fields.into_iter();
    let fields = fields.map(|(name, value)| (text(name), text(value)));
    (
        answer.protocol,
        answer.status,
        fields.collect(),
        answer.body,
    )
}
