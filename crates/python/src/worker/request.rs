// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use super::core::{Core, Function};
use super::exchange::Exchange;
use super::headers::{Fields, Headers, text};
use super::ready::ready;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_functions::{Change, encode_body_wanted};

/// A request as user code sees it. Nothing of it is decoded before it is asked for.
#[pyclass(frozen, module = "tidegate.functions")]
pub(super) struct Request {
    pub(super) core: Arc<Core>,
    pub(super) function: Arc<Function>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) fields: Arc<Mutex<Fields>>,
    path: Mutex<Option<String>>,
    kept: Mutex<Kept>,
}

/// What was made on demand and is the same each time.
#[derive(Default)]
struct Kept {
    state: Option<Py<PyAny>>,
    query: Option<Py<PyAny>>,
    cookies: Option<Py<PyAny>>,
    parameters: Option<Py<PyAny>>,
    identity: Option<Py<PyAny>>,
}

/// A `_view` helper of the Python side, called when the view is first asked for.
fn view<'py>(py: Python<'py>, name: &str, argument: impl IntoPyObject<'py>) -> PyResult<Py<PyAny>> {
    let argument = argument.into_py_any(py)?;
    Ok(py
        .import("tidegate.functions._view")?
        .getattr(name)?
        .call1((argument,))?
        .unbind())
}

impl Request {
    pub(super) fn new(core: Arc<Core>, function: Arc<Function>, exchange: Arc<Exchange>) -> Self {
        let fields = Arc::new(Mutex::new(Fields::of_request(Arc::clone(&exchange))));
        Self {
            core,
            function,
            exchange,
            fields,
            path: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Hands what was changed to `write`.
    pub(super) fn with_changes<T>(
        &self,
        write: impl FnOnce(&mut dyn Iterator<Item = Change<'_>>) -> T,
    ) -> T {
        let fields = lock(&self.fields);
        let path = lock(&self.path);
        let path = path.as_deref().map(|path| Change::Path(path.as_bytes()));
        write(&mut path.into_iter().chain(fields.changes()))
    }

    fn keep(
        &self,
        py: Python<'_>,
        place: impl Fn(&mut Kept) -> &mut Option<Py<PyAny>>,
        make: impl FnOnce() -> PyResult<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if let Some(found) = place(&mut lock(&self.kept)) {
            return Ok(found.clone_ref(py));
        }
        let made = make()?;
        Ok(place(&mut lock(&self.kept))
            .get_or_insert(made)
            .clone_ref(py))
    }
}

#[pymethods]
impl Request {
    /// The method, as the client wrote it.
    #[getter]
    fn method(&self) -> &str {
        self.exchange.head.method()
    }

    /// `http` or `https`: how the client spoke to the gateway.
    #[getter]
    fn scheme(&self) -> &str {
        self.exchange.head.scheme()
    }

    /// The host and, if it is not the scheme's own, the port; empty for HTTP/1.0 without Host.
    #[getter]
    fn host(&self) -> &str {
        self.exchange.head.authority()
    }

    /// The whole URL.
    #[getter]
    fn url(&self) -> String {
        let head = &self.exchange.head;
        let mut url = format!("{}://{}{}", head.scheme(), head.authority(), self.path());
        if let Some(query) = head.query() {
            url.push('?');
            url.push_str(&text(query));
        }
        url
    }

    /// The canonical path, percent-encoded. A policy may set another one.
    #[getter]
    fn path(&self) -> String {
        lock(&self.path)
            .clone()
            .unwrap_or_else(|| self.exchange.head.path().to_owned())
    }

    #[setter]
    fn set_path(&self, path: &str) -> PyResult<()> {
        if !path.starts_with('/')
            || !path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
        {
            return Err(PyValueError::new_err(
                "a path begins with / and is percent-encoded, without query and fragment",
            ));
        }
        *lock(&self.path) = Some(path.to_owned());
        Ok(())
    }

    /// The query's parameters: a mapping of decoded text, with `get_all` and, as `str()`, the query
    /// as it was sent.
    #[getter]
    fn query(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let raw = self.exchange.head.query();
        self.keep(
            py,
            |kept| &mut kept.query,
            || view(py, "Query", text(raw.unwrap_or_default())),
        )
    }

    /// The header fields, to read and change.
    #[getter]
    fn headers(&self) -> Headers {
        Headers {
            fields: Arc::clone(&self.fields),
            is_request: true,
        }
    }

    /// The cookies that the client sent: names to values.
    #[getter]
    fn cookies(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let raw = self.headers().get_all("cookie");
        self.keep(
            py,
            |kept| &mut kept.cookies,
            || view(py, "parse_cookies", raw),
        )
    }

    /// The client's address.
    #[getter]
    fn client(&self) -> &str {
        self.exchange.head.client()
    }

    /// Who calls, as a policy has proved; `None` when that is not known.
    #[getter]
    fn identity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = self.exchange.head.identity();
        if text.is_empty() {
            return Ok(py.None());
        }
        self.keep(
            py,
            |kept| &mut kept.identity,
            || view(py, "read_identity", text),
        )
    }

    /// The route's name.
    #[getter]
    fn route(&self) -> &str {
        self.exchange.head.route()
    }

    /// The request's identifier, as in the access log.
    #[getter]
    fn id(&self) -> &str {
        self.exchange.head.request_id()
    }

    /// The function's name in the configuration.
    #[getter]
    fn function(&self) -> &str {
        &self.function.name
    }

    /// `1.0` or `1.1`.
    #[getter]
    fn http_version(&self) -> &'static str {
        if self.exchange.head.is_http_1_0() {
            "1.0"
        } else {
            "1.1"
        }
    }

    /// What the path's template matched: names to decoded values.
    #[getter]
    fn parameters(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let list: Vec<(String, String)> = self
            .exchange
            .head
            .parameters()
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        self.keep(
            py,
            |kept| &mut kept.parameters,
            || view(py, "parse_parameters", list),
        )
    }

    /// Room for whatever the code wants to keep with this request.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let make = || {
            Ok(py
                .import("types")?
                .getattr("SimpleNamespace")?
                .call0()?
                .unbind())
        };
        self.keep(py, |kept| &mut kept.state, make)
    }

    /// The whole body; awaited.
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if !self.function.is_async {
            return Err(PyRuntimeError::new_err(
                "a plain function reads the body with request.read()",
            ));
        }
        match self.whole(py)? {
            Some(whole) => ready(py, whole.into_any()),
            None => {
                self.ask_for_body();
                self.wait_for_body(py)
            }
        }
    }

    /// The whole body as JSON; awaited.
    fn json(slf: Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        view(slf.py(), "read_json", slf)
    }

    /// The whole body, for plain functions: waits on their thread.
    fn read(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        if self.function.is_async {
            return Err(PyRuntimeError::new_err(
                "a coroutine reads the body with await request.body()",
            ));
        }
        if let Some(whole) = self.whole(py)? {
            return Ok(whole);
        }
        self.ask_for_body();
        self.core.flush_from_thread(py, &self.exchange.connection)?;
        let limit = Duration::from_millis(u64::from(self.remaining_ms()));
        py.detach(|| self.exchange.wait_for_body(limit));
        match self.whole(py)? {
            Some(whole) => Ok(whole),
            None => Err(PyErr::from_value(
                self.core.hooks.cancelled.bind(py).call0()?,
            )),
        }
    }

    /// Milliseconds until the gateway answers by itself; 0 when that has happened.
    fn remaining_ms(&self) -> u32 {
        let now = self.core.clock.now();
        (self.exchange.deadline.micros_since(now) / 1000) as u32
    }

    fn __repr__(&self) -> String {
        format!("<Request {} {} {}>", self.method(), self.path(), self.id())
    }

    /// For `_asgi.py`: the next piece of the body as `(bytes, has_more)`; `None` once the client or
    /// the gateway has gone; awaited.
    fn _receive(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.exchange.flow().is_cancelled {
            return ready(py, py.None());
        }
        if let Some(chunk) = self.chunk(py) {
            self.core.flush_soon(py, &self.exchange.connection)?;
            return ready(py, chunk.into_pyobject(py)?.into_any().unbind());
        }
        let mut flow = self.exchange.flow();
        let was_asked = std::mem::replace(&mut flow.body_asked, true);
        let has_ended = flow.body_ended;
        drop(flow);
        if !was_asked && !has_ended {
            self.exchange
                .connection
                .put(|out| encode_body_wanted(out, self.exchange.number));
        }
        self.wait_for_body(py)
    }

    /// For `_asgi.py`: the query as it was sent.
    fn _raw_query<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.exchange.head.query().unwrap_or_default())
    }

    /// For `_asgi.py`: names in lower case and values, as bytes.
    fn _raw_headers<'py>(
        &self,
        py: Python<'py>,
    ) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let fields = self.exchange.head.fields();
        fields
            .iter()
            .map(|(name, value)| {
                (
                    PyBytes::new(py, &name.to_ascii_lowercase()),
                    PyBytes::new(py, value),
                )
            })
            .collect()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A lock that is held belongs to a thread that is in the middle of it; the next collection
        // comes here again.
        if let Ok(kept) = self.kept.try_lock() {
            let read = [&kept.query, &kept.cookies, &kept.parameters, &kept.identity];
            for object in read.into_iter().chain([&kept.state]) {
                visit.call(object)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        *lock(&self.kept) = Kept::default();
    }

    /// For `_carry.py`: the coroutine returned `value`.
    fn _finish(slf: Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        super::answer::finish(&slf, value)
    }

    /// For `_carry.py`: the coroutine raised `error`.
    fn _fail(slf: Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        super::answer::fail(&slf, PyErr::from_value(error.clone()))
    }

    /// For `_carry.py`: whose code runs on the loop from here on, for the watchdog.
    fn _step(&self) {
        self.core.watch.step(Some(&self.exchange));
    }

    /// For `_carry.py`: the code waits and gave the loop back.
    fn _rest(&self) {
        self.core.watch.step(None);
    }

    /// For `_asgi.py`: sends the head of a response whose body follows.
    fn _start(&self, py: Python<'_>, status: u16, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        super::answer::start(self, py, status, headers)
    }

    /// For `_asgi.py`: sends a piece of the body. Awaited: done when there is room for more.
    fn _send(
        &self,
        py: Python<'_>,
        body: &Bound<'_, PyBytes>,
        has_more: bool,
    ) -> PyResult<Py<PyAny>> {
        super::answer::send(self, py, body, has_more).and_then(|future| match future {
            Some(future) => Ok(future),
            None => ready(py, py.None()),
        })
    }
}
