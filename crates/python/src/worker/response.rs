// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use super::exchange::Exchange;
use super::headers::{Fields, Headers, check_name, check_value, pairs};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// A response: made by user code, or what came back from `call_next`.
#[pyclass(frozen, module = "tidegate.functions")]
pub(super) struct Response {
    status: AtomicU16,
    given_status: u16,
    pub(super) fields: Arc<Mutex<Fields>>,
    body: Mutex<Option<Py<PyBytes>>>,
    /// The exchange whose response was shown; `None` for one made here.
    pub(super) origin: Option<Arc<Exchange>>,
}

fn check_status(status: u16) -> PyResult<u16> {
    match status {
        200..=599 => Ok(status),
        _ => Err(PyValueError::new_err(format!(
            "a status is 200 to 599, not {status}"
        ))),
    }
}

/// Text becomes UTF-8; anything else has to be bytes already.
fn body_of<'py>(body: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        return Ok((bytes.clone(), false));
    }
    if let Ok(text) = body.cast::<PyString>() {
        return Ok((PyBytes::new(body.py(), text.to_cow()?.as_bytes()), true));
    }
    if body.is_none() {
        return Ok((PyBytes::new(body.py(), b""), false));
    }
    match body.extract::<Vec<u8>>() {
        Ok(bytes) => Ok((PyBytes::new(body.py(), &bytes), false)),
        Err(_) => Err(PyTypeError::new_err(format!(
            "a response's body is bytes or text, not {}; Response.json() takes other values",
            body.get_type().name()?
        ))),
    }
}

impl Response {
    pub(super) fn build(
        py: Python<'_>,
        status: u16,
        body: &Bound<'_, PyAny>,
        headers: Option<&Bound<'_, PyAny>>,
        media_type: Option<&str>,
    ) -> PyResult<Self> {
        let (body, is_text) = body_of(body)?;
        let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in headers.map(pairs).transpose()?.unwrap_or_default() {
            let value: Option<Vec<u8>> = value
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect();
            let value = value.ok_or_else(|| {
                PyValueError::new_err("a header's value has characters beyond ISO-8859-1")
            })?;
            check_name(name.as_bytes())?;
            check_value(&value)?;
            list.push((name.into_bytes(), value));
        }
        let has_type = list
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let default = match media_type {
            Some(media_type) => Some(media_type),
            None if is_text => Some("text/plain; charset=utf-8"),
            None => None,
        };
        if let Some(default) = default.filter(|_| !has_type) {
            check_value(default.as_bytes())?;
            list.push((b"content-type".to_vec(), default.as_bytes().to_vec()));
        }
        let fields = Fields::of_list(list.iter().map(|(name, value)| (&name[..], &value[..])));
        let _ = py;
        Ok(Self {
            status: AtomicU16::new(check_status(status)?),
            given_status: status,
            fields: Arc::new(Mutex::new(fields)),
            body: Mutex::new(Some(body.unbind())),
            origin: None,
        })
    }

    /// What came back for a request that was let pass; its body goes past the policy.
    pub(super) fn shown(exchange: Arc<Exchange>, status: u16, fields: Fields) -> Self {
        Self {
            status: AtomicU16::new(status),
            given_status: status,
            fields: Arc::new(Mutex::new(fields)),
            body: Mutex::new(None),
            origin: Some(exchange),
        }
    }

    pub(super) fn status_now(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    /// The status, when it is not the one that came back.
    pub(super) fn changed_status(&self) -> Option<u16> {
        Some(self.status_now()).filter(|status| *status != self.given_status)
    }

    pub(super) fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &*lock(&self.body) {
            Some(body) => body.bind(py).clone(),
            None => PyBytes::new(py, b""),
        }
    }
}

#[pymethods]
impl Response {
    #[new]
    #[pyo3(signature = (body=None, status=200, headers=None, media_type=None))]
    fn new(
        py: Python<'_>,
        body: Option<&Bound<'_, PyAny>>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        media_type: Option<&str>,
    ) -> PyResult<Self> {
        let none = py.None().into_bound(py);
        Self::build(py, status, body.unwrap_or(&none), headers, media_type)
    }

    /// A response whose body is `value` as JSON.
    #[staticmethod]
    #[pyo3(signature = (value, status=200, headers=None))]
    fn json(
        py: Python<'_>,
        value: &Bound<'_, PyAny>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Self::build(
            py,
            status,
            &to_json(value)?,
            headers,
            Some("application/json"),
        )
    }

    /// A response with problem details (RFC 9457).
    #[staticmethod]
    #[pyo3(signature = (status, detail=None, title=None, r#type="about:blank", headers=None, **members))]
    fn problem(
        py: Python<'_>,
        status: u16,
        detail: Option<&str>,
        title: Option<&str>,
        r#type: &str,
        headers: Option<&Bound<'_, PyAny>>,
        members: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let problem = PyDict::new(py);
        problem.set_item("type", r#type)?;
        match title {
            Some(title) => problem.set_item("title", title)?,
            // The RFC asks for the status's own phrase under about:blank.
            None => {
                let statuses = py.import("http")?.getattr("HTTPStatus")?;
                if let Ok(known) = statuses.call1((status,)) {
                    problem.set_item("title", known.getattr("phrase")?)?;
                }
            }
        }
        problem.set_item("status", status)?;
        if let Some(detail) = detail {
            problem.set_item("detail", detail)?;
        }
        if let Some(members) = members {
            problem.update(members.as_mapping())?;
        }
        Self::build(
            py,
            status,
            &to_json(&problem)?,
            headers,
            Some("application/problem+json"),
        )
    }

    /// A response that sends the client to `location`.
    #[staticmethod]
    #[pyo3(signature = (location, status=303))]
    fn redirect(py: Python<'_>, location: &str, status: u16) -> PyResult<Self> {
        if !(300..=399).contains(&status) {
            return Err(PyValueError::new_err(format!(
                "a redirect's status is 300 to 399, not {status}"
            )));
        }
        let headers = PyDict::new(py);
        headers.set_item("location", location)?;
        Self::build(py, status, &py.None().into_bound(py), Some(&headers), None)
    }

    /// The status code, 200 to 599.
    #[getter]
    fn status(&self) -> u16 {
        self.status_now()
    }

    #[setter]
    fn set_status(&self, status: u16) -> PyResult<()> {
        self.status.store(check_status(status)?, Ordering::Relaxed);
        Ok(())
    }

    /// The header fields, to read and change.
    #[getter]
    fn headers(&self) -> Headers {
        Headers {
            fields: Arc::clone(&self.fields),
            is_request: false,
        }
    }

    /// The body of a response that was made here.
    #[getter]
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        match &*lock(&self.body) {
            Some(body) => Ok(body.clone_ref(py)),
            None => Err(PyRuntimeError::new_err(
                "the body of a response from call_next goes past the policy; \
                 return a Response of your own to replace it",
            )),
        }
    }

    #[setter]
    fn set_body(&self, body: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.origin.is_some() {
            return Err(PyRuntimeError::new_err(
                "the body of a response from call_next cannot be set; return a Response of your own",
            ));
        }
        *lock(&self.body) = Some(body_of(body)?.0.unbind());
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Response {}>", self.status_now())
    }
}

fn to_json<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("separators", (",", ":"))?;
    options.set_item("ensure_ascii", false)?;
    options.set_item("allow_nan", false)?;
    py.import("json")?
        .call_method("dumps", (value,), Some(&options))?
        .call_method1("encode", ("utf-8",))
}
