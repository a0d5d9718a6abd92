// SPDX-License-Identifier: Apache-2.0
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::os::fd::{FromRawFd, OwnedFd};
use tidegate_engine::{NodeConfig, Probed};

/// Descriptor of the control socket, as the supervisor leaves it.
const CONTROL_FD: i32 = 3;

/// Runs a node until it has drained; `config` is the JSON of the supervisor. The listening control
/// socket is descriptor 3. Returns the exit code. The GIL is never taken again.
#[pyfunction]
pub(crate) fn run_node(py: Python<'_>, config: &str) -> PyResult<i32> {
    let config: NodeConfig = serde_json::from_str(config)
        .map_err(|error| PyValueError::new_err(format!("the node's configuration: {error}")))?;
    // SAFETY: the supervisor passes an open descriptor 3 to this process for this one purpose, and
    // run_node is called once, by the process's entry point.
    let control = unsafe { OwnedFd::from_raw_fd(CONTROL_FD) };
    py.detach(|| tidegate_engine::run_node(config, control))
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok(0)
}

/// What is wrong with a snapshot, given as the JSON of a delta on nothing: pairs of place and
/// message, none when it is sound.
#[pyfunction]
pub(crate) fn check_snapshot(py: Python<'_>, delta: &str) -> Vec<(String, String)> {
    py.detach(|| tidegate_engine::check_json(delta))
}

/// The first and the last second, since 1970, at which the first certificate of a text in PEM is good;
/// `None` when there is none that can be read.
#[pyfunction]
pub(crate) fn certificate_validity(text: &str) -> Option<(u64, u64)> {
    tidegate_engine::certificate_validity(text).map(|found| (found.not_before, found.not_after))
}

/// The hash of a password as `forward.users` takes it: Argon2id with 19 MiB. `salt` is random.
#[pyfunction]
pub(crate) fn hash_password(py: Python<'_>, password: &[u8], salt: [u8; 16]) -> String {
    py.detach(|| tidegate_passwords::Hashed::make(password, salt))
}

/// What becomes of a request, or of an array of them, under a snapshot; JSON in and out. Raises `ValueError` when either
/// makes no sense.
#[pyfunction]
pub(crate) fn decide(py: Python<'_>, delta: &str, request: &str) -> PyResult<String> {
    py.detach(|| tidegate_engine::decide_json(delta, request))
        .map_err(PyValueError::new_err)
}

/// What the codec makes of the first message in `data`.
#[pyfunction]
pub(crate) fn parse_request<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let told = PyDict::new(py);
    match tidegate_engine::probe(data) {
        Probed::Incomplete => told.set_item("accepted", py.None())?,
        Probed::Refused {
            status,
            kind,
            detail,
        } => {
            told.set_item("accepted", false)?;
            told.set_item("status", status)?;
            told.set_item("kind", kind)?;
            told.set_item("detail", detail)?;
        }
        Probed::Accepted(request) => {
            let query = request
                .query
                .map(|query| query.into_iter().map(char::from).collect::<String>());
            told.set_item("accepted", true)?;
            told.set_item("consumed", request.consumed)?;
            told.set_item("method", request.method)?;
            told.set_item("path", request.path)?;
            told.set_item("query", query)?;
            told.set_item("host", request.host)?;
            told.set_item("port", request.port)?;
            told.set_item("authority", request.authority)?;
            told.set_item("scheme", request.scheme)?;
            told.set_item("version", request.version)?;
            told.set_item("framing", request.framing)?;
            told.set_item("length", request.length)?;
            told.set_item("keep_alive", request.keep_alive)?;
            told.set_item("encoded", PyBytes::new(py, &request.encoded))?;
        }
    }
    Ok(told)
}

/// What is wrong with a condition, with its place; nothing when it can be computed.
#[pyfunction]
#[pyo3(signature = (text, of_requests = false))]
pub(crate) fn condition_problem(text: &str, of_requests: bool) -> Option<String> {
    tidegate_engine::condition_problem(text, of_requests)
}
