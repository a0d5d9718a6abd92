// SPDX-License-Identifier: Apache-2.0
use super::request::Request;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Passed to a policy as `call_next`.
#[pyclass(frozen, module = "tidegate.functions")]
pub(super) struct CallNext {
    pub(super) request: Py<Request>,
}

#[pymethods]
impl CallNext {
    /// Lets the request pass, with what was changed in it; awaited for the response.
    fn __call__(&self, py: Python<'_>, request: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let own = self.request.bind(py);
        if !request.is(own) {
            return Err(PyValueError::new_err(
                "call_next takes the request that the policy was given",
            ));
        }
        super::answer::pass(own.get(), py)
    }
}
