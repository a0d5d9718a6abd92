// SPDX-License-Identifier: Apache-2.0
use pyo3::prelude::*;

/// What a coroutine did.
pub(super) enum Sent<'py> {
    Returned(Bound<'py, PyAny>),
    Waits(Bound<'py, PyAny>),
}

/// `coroutine.send(None)` without an exception for its end.
pub(super) fn send_none<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: the GIL is held, both objects are alive, and `result` receives a new reference
    // unless an error is set.
    let outcome =
        unsafe { pyo3::ffi::PyIter_Send(coroutine.as_ptr(), pyo3::ffi::Py_None(), &mut result) };
    if outcome == pyo3::ffi::PySendResult::PYGEN_ERROR {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: not an error, so `result` is a new reference of ours.
    let result = unsafe { Bound::from_owned_ptr(py, result) };
    Ok(if outcome == pyo3::ffi::PySendResult::PYGEN_RETURN {
        Sent::Returned(result)
    } else {
        Sent::Waits(result)
    })
}
