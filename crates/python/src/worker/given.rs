// SPDX-License-Identifier: Apache-2.0
use super::core::Function;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Settings of a policy, as the node told them, and the code that has them.
pub(super) struct Given {
    text: String,
    target: PyOnceLock<Py<PyAny>>,
}

impl Given {
    /// Nothing is decoded before a request needs it.
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            target: PyOnceLock::new(),
        }
    }

    /// What to call in the place of the function's own code.
    pub(super) fn target<'py>(
        &self,
        py: Python<'py>,
        function: &Function,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = self.target.get_or_try_init(py, || {
            let bind = function.bind.bind(py);
            bind.call1((&self.text,)).map(Bound::unbind)
        })?;
        Ok(made.bind(py).clone())
    }
}
