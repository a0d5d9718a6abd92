// SPDX-License-Identifier: Apache-2.0
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::time::Duration;
use tidegate_issuing::development::{self, Period};
use tidegate_issuing::orders::{self, Begun, External};
use tidegate_issuing::requests::{self, KeyKind, Pair};
use tidegate_issuing::revocation::{self, Standing};
use tidegate_issuing::{Answer, Failure, Question, Transport};
use tidegate_tls::{Certificate, Files};

/// The first certificate of a text in PEM: `names`, `issuer`, `serial`, `authority_key`, `not_before`,
/// `not_after`; `None` when there is none that can be read.
#[pyfunction]
pub(crate) fn certificate_details<'py>(
    py: Python<'py>,
    text: &str,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(found) = tidegate_tls::details(text) else {
        return Ok(None);
    };
    let told = PyDict::new(py);
    told.set_item("names", found.names)?;
    told.set_item("issuer", found.issuer)?;
    told.set_item("serial", PyBytes::new(py, &found.serial))?;
    told.set_item("authority_key", PyBytes::new(py, &found.authority_key))?;
    told.set_item("not_before", found.not_before)?;
    told.set_item("not_after", found.not_after)?;
    Ok(Some(told))
}

/// What keeps a listener from using a certificate with a key, both in PEM; nothing when it can.
#[pyfunction]
pub(crate) fn certificate_problem(cert: &str, key: &str) -> Option<String> {
    let files = Files {
        cert,
        cert_name: "certificate",
        key,
        key_name: "key",
    };
    Certificate::read(files).err()
}

/// What can be asked about the first certificate of a text in PEM: the responder's URL, empty for none;
/// whether clients take it with an answer alone; and what the responder is sent, empty when who signed the
/// certificate does not stand behind it. `None` when there is none that can be read.
#[pyfunction]
pub(crate) fn revocation_inquiry<'py>(
    py: Python<'py>,
    text: &str,
) -> Option<(String, bool, Bound<'py, PyBytes>)> {
    let found = revocation::inquiry(text)?;
    let request = PyBytes::new(py, &found.request);
    Some((found.responder, found.is_bound, request))
}

/// What a responder's answer says at `now` of the first certificate of a text in PEM, behind which who
/// signed it stands: `good`, `revoked` or `unknown`, since when and until when. Raises `ValueError` with why
/// it is not to be believed.
#[pyfunction]
pub(crate) fn revocation_verdict(
    text: &str,
    answer: &[u8],
    now: u64,
) -> PyResult<(&'static str, u64, u64)> {
    let found = revocation::verdict(text, answer, now).map_err(PyValueError::new_err)?;
    let standing = match found.standing {
        Standing::Good => "good",
        Standing::Revoked => "revoked",
        Standing::Unknown => "unknown",
    };
    Ok((standing, found.since, found.until))
}

fn pair(made: Result<Pair, String>) -> PyResult<(String, String)> {
    made.map(|pair| (pair.cert, pair.key))
        .map_err(PyValueError::new_err)
}

/// An authority for development: its certificate and its key.
#[pyfunction]
pub(crate) fn development_authority(begin: i64, end: i64) -> PyResult<(String, String)> {
    pair(development::authority(Period { begin, end }))
}

/// A certificate for names and addresses, signed with the key of such an authority, and its own key.
#[pyfunction]
pub(crate) fn development_certificate(
    key: &str,
    names: Vec<String>,
    begin: i64,
    end: i64,
) -> PyResult<(String, String)> {
    pair(development::leaf(key, &names, Period { begin, end }))
}

/// Whether such an authority may sign a name.
#[pyfunction]
pub(crate) fn development_may_sign(name: &str) -> bool {
    development::may_sign(name)
}

/// A fresh private key in PEM: `ecdsa_p256`, `ecdsa_p384` or `rsa_2048`.
#[pyfunction]
pub(crate) fn make_key(py: Python<'_>, kind: &str) -> PyResult<String> {
    let kind = KeyKind::named(kind)
        .ok_or_else(|| PyValueError::new_err("there is no such kind of key"))?;
    py.detach(|| requests::key(kind))
        .map_err(PyValueError::new_err)
}

/// The certificate of a validation by `tls-alpn-01`, and its key.
#[pyfunction]
pub(crate) fn challenge_certificate(name: &str, digest: &[u8]) -> PyResult<(String, String)> {
    pair(requests::challenge_certificate(name, digest))
}

/// A conversation with an authority. `ask(method, url, fields, body)` returns `(status, fields, body)`, or
/// raises an `OSError` whose text is for people. A failure is a `RuntimeError` with `(kind, detail, parts)`,
/// `parts` a list of `(name, kind, detail)`.
#[pyclass(frozen)]
pub(crate) struct AcmeClient {
    transport: Transport,
}

type Told = (u16, Vec<(String, String)>, Vec<u8>);
/// Name, kind, token, answer, digest.
type Offer = (String, &'static str, String, String, Vec<u8>);

fn ask(callable: &Py<PyAny>, question: Question) -> Result<Answer, String> {
    Python::attach(|py| {
        let body = PyBytes::new(py, &question.body);
        let told = callable.call1(py, (question.method, question.url, question.fields, body));
        let (status, fields, body): Told = told
            .and_then(|answer| answer.extract(py))
            .map_err(|error| error.value(py).to_string())?;
        Ok(Answer {
            status,
            fields,
            body,
        })
    })
}

fn failed(failure: Failure) -> PyErr {
    let parts: Vec<_> = failure
        .parts
        .into_iter()
        .map(|part| (part.name, part.kind, part.detail))
        .collect();
    PyRuntimeError::new_err((failure.kind, failure.detail, parts))
}

fn told(begun: Begun) -> (String, Vec<Offer>) {
    let offers = begun.challenges.into_iter();
    let offers = offers.map(|each| (each.name, each.kind, each.token, each.answer, each.digest));
    (begun.url, offers.collect())
}

#[pymethods]
impl AcmeClient {
    #[new]
    fn new(ask_by: Py<PyAny>) -> Self {
        Self {
            transport: Transport::new(move |question| ask(&ask_by, question)),
        }
    }

    /// Opens an account; its credentials, a text that must be kept secret.
    #[pyo3(signature = (directory, contact, external=None))]
    fn open_account(
        &self,
        py: Python<'_>,
        directory: &str,
        contact: Vec<String>,
        external: Option<(String, Vec<u8>)>,
    ) -> PyResult<String> {
        let external = external.map(|(id, key)| External { id, key });
        py.detach(|| orders::open_account(&self.transport, directory, &contact, external.as_ref()))
            .map_err(failed)
    }

    /// Orders a certificate: where the order is, and `(name, kind, token, answer, digest)` of each
    /// challenge.
    fn begin(
        &self,
        py: Python<'_>,
        credentials: &str,
        names: Vec<String>,
        replaces: &str,
    ) -> PyResult<(String, Vec<Offer>)> {
        py.detach(|| orders::begin(&self.transport, credentials, &names, replaces))
            .map(told)
            .map_err(failed)
    }

    /// As `begin`, of an order that was begun before.
    fn resume(
        &self,
        py: Python<'_>,
        credentials: &str,
        url: &str,
    ) -> PyResult<(String, Vec<Offer>)> {
        py.detach(|| orders::resume(&self.transport, credentials, url))
            .map(told)
            .map_err(failed)
    }

    /// Has the names proved and gets the certificate for them and `key`: the chain in PEM.
    #[allow(clippy::too_many_arguments)] // a call from Python, by name
    fn finish(
        &self,
        py: Python<'_>,
        credentials: &str,
        url: &str,
        chosen: Vec<(String, String)>,
        names: Vec<String>,
        key: &str,
        patience: f64,
    ) -> PyResult<String> {
        let request = requests::signing_request(&names, key).map_err(PyValueError::new_err)?;
        let patience = Duration::try_from_secs_f64(patience)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        py.detach(|| {
            orders::finish(
                &self.transport,
                credentials,
                url,
                &chosen,
                &request,
                patience,
            )
        })
        .map_err(failed)
    }

    /// When the authority would have a certificate renewed: begin, end, and seconds until to ask again;
    /// `None` where it does not say.
    fn renewal(
        &self,
        py: Python<'_>,
        credentials: &str,
        id: &str,
    ) -> PyResult<Option<(i64, i64, u64)>> {
        py.detach(|| orders::renewal(&self.transport, credentials, id))
            .map(|found| found.map(|window| (window.begin, window.end, window.again)))
            .map_err(failed)
    }
}
