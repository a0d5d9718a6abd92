// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use std::sync::Mutex;

/// An awaitable that has its result already, so that awaiting it never leaves the coroutine.
#[pyclass(frozen)]
pub(super) struct Ready {
    value: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Ready {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> PyResult<()> {
        match lock(&self.value).take() {
            Some(value) => Err(PyStopIteration::new_err((value,))),
            None => Err(PyRuntimeError::new_err("it was awaited already")),
        }
    }
}

/// An awaitable for a value that is here.
pub(super) fn ready(py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(
        py,
        Ready {
            value: Mutex::new(Some(value)),
        },
    )?
    .into_any())
}
