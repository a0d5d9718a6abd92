// SPDX-License-Identifier: Apache-2.0
//! A request's body as its code asks for it.
use super::request::Request;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_functions::{BodyKind, encode_body_wanted, encode_worker_credit};

impl Request {
    /// The body when it is all here; errors when it never will be.
    pub(super) fn whole(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        if self.exchange.head.body() == BodyKind::Withheld {
            return Err(PyRuntimeError::new_err(
                "this policy is not handed the body",
            ));
        }
        let mut flow = self.exchange.flow();
        if let Some(whole) = &flow.whole {
            return Ok(Some(whole.clone_ref(py)));
        }
        if flow.too_large {
            drop(flow);
            return Err(self.too_large(py));
        }
        if flow.body_ended {
            let bytes = std::mem::take(&mut flow.body);
            let whole = PyBytes::new(py, &bytes).unbind();
            flow.whole = Some(whole.clone_ref(py));
            return Ok(Some(whole));
        }
        let is_cancelled = flow.is_cancelled;
        drop(flow);
        if is_cancelled {
            return Err(PyErr::from_value(
                self.core.hooks.cancelled.bind(py).call0()?,
            ));
        }
        Ok(None)
    }

    fn too_large(&self, py: Python<'_>) -> PyErr {
        let message = format!(
            "the request's body is over the limit of {} bytes",
            self.function.max_body
        );
        match self.core.hooks.body_too_large.bind(py).call1((message,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }

    /// Asks the node for the body, to be kept up to the limit.
    pub(super) fn ask_for_body(&self) {
        let mut flow = self.exchange.flow();
        let was_asked = std::mem::replace(&mut flow.body_asked, true);
        let was_collecting = std::mem::replace(&mut flow.is_collecting, true);
        let here = flow.body.len() as u32;
        drop(flow);
        let number = self.exchange.number;
        self.exchange.connection.put(|out| {
            if !was_asked {
                encode_body_wanted(out, number);
            }
            if !was_collecting && here > 0 {
                encode_worker_credit(out, number, here);
            }
        });
    }

    /// Bytes of the body that are here, and whether more come; `None` when none are here yet.
    pub(super) fn chunk(&self, py: Python<'_>) -> Option<(Py<PyBytes>, bool)> {
        let mut flow = self.exchange.flow();
        if flow.body.is_empty() && (!flow.body_ended || flow.whole.is_some()) {
            return None;
        }
        let bytes = std::mem::take(&mut flow.body);
        let chunk = PyBytes::new(py, &bytes).unbind();
        let is_streamed = matches!(
            self.exchange.head.body(),
            BodyKind::Stream | BodyKind::OnDemand
        );
        let has_more = !flow.body_ended;
        if flow.body_ended {
            // Marks the end as told, so that what comes next is the disconnect.
            flow.whole = Some(PyBytes::new(py, b"").unbind());
        }
        drop(flow);
        if is_streamed && has_more {
            let number = self.exchange.number;
            self.exchange
                .connection
                .put(|out| encode_worker_credit(out, number, bytes.len() as u32));
        }
        Some((chunk, has_more))
    }

    /// The body changed: wakes who waits for it.
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        if self.exchange.flow().body_waiters.is_empty() {
            return Ok(());
        }
        let outcome = if self.function.is_streaming {
            match self.chunk(py) {
                Some(chunk) => Ok(chunk.into_pyobject(py)?.into_any().unbind()),
                None => return Ok(()),
            }
        } else {
            match self.whole(py) {
                Ok(Some(whole)) => Ok(whole.into_any()),
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            }
        };
        let waiters = std::mem::take(&mut self.exchange.flow().body_waiters);
        for waiter in waiters {
            if waiter.call_method0(py, "done")?.is_truthy(py)? {
                continue;
            }
            match &outcome {
                Ok(value) => waiter.call_method1(py, "set_result", (value,))?,
                Err(error) => waiter.call_method1(py, "set_exception", (error.clone_ref(py),))?,
            };
        }
        Ok(())
    }

    pub(super) fn wait_for_body(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let future = self.core.create_future(py)?;
        self.exchange.flow().body_waiters.push(future.clone_ref(py));
        self.core.flush_soon(py, &self.exchange.connection)?;
        Ok(future)
    }
}
