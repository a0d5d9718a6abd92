// SPDX-License-Identifier: Apache-2.0
//! What becomes of an exchange once its code has something to say.
use super::connection::lock;
use super::core::Core;
use super::exchange::Exchange;
use super::headers::Fields;
use super::request::Request;
use super::response::Response;
use super::watchdog;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use tidegate_functions::{
    Change, INLINE, Reason, TooLarge, encode_continue, encode_error, encode_respond,
    encode_response_changes,
};

/// The code returned `value`.
pub(super) fn finish(request: &Bound<'_, Request>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let own = request.get();
    if let Err(error) = answer(own, value) {
        return broken(request, error, Some(Reason::BadAnswer));
    }
    over(own, request.py())
}

/// The code raised `error`.
pub(super) fn fail(request: &Bound<'_, Request>, error: PyErr) -> PyResult<()> {
    broken(request, error, None)
}

fn broken(request: &Bound<'_, Request>, error: PyErr, reason: Option<Reason>) -> PyResult<()> {
    let py = request.py();
    let own = request.get();
    let hooks = &own.core.hooks;
    let reason = if error.is_instance_of::<PyMemoryError>(py) {
        Reason::Memory
    } else if error.is_instance(py, hooks.cancelled.bind(py)) {
        Reason::Cancelled
    } else if error.is_instance(py, hooks.body_too_large.bind(py)) {
        Reason::BodySize
    } else {
        reason.unwrap_or(Reason::Exception)
    };
    let is_cancelled = own.exchange.flow().is_cancelled;
    // Nobody waits for a cancelled one, and its end is what was asked for.
    if !(is_cancelled && reason == Reason::Cancelled) && reason != Reason::BodySize {
        hooks.report.call1(py, (request, &error))?;
    }
    if !is_cancelled {
        own.exchange
            .connection
            .put(|out| encode_error(out, own.exchange.number, reason));
    }
    if reason == Reason::Memory {
        watchdog::die_of_memory(&own.core, &own.exchange);
    }
    over(own, py)
}

/// The code has ended and its answer is on its way.
fn over(request: &Request, py: Python<'_>) -> PyResult<()> {
    request.core.end(py, &request.exchange)?;
    if request.function.is_async {
        request.core.watch.step(None);
        request.core.flush_soon(py, &request.exchange.connection)
    } else {
        request
            .core
            .flush_from_thread(py, &request.exchange.connection)
    }
}

fn answer(request: &Request, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = value.py();
    let exchange = &request.exchange;
    let (is_cancelled, has_responded, has_passed) = {
        let flow = exchange.flow();
        (flow.is_cancelled, flow.has_responded, flow.has_passed)
    };
    if is_cancelled {
        return Ok(());
    }
    if request.function.is_streaming {
        return if has_responded {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err("the application sent no response"))
        };
    }
    if let Ok(response) = value.cast::<Response>() {
        let response = response.get();
        return match &response.origin {
            Some(origin) if Arc::ptr_eq(origin, exchange) => changes(exchange, response),
            Some(_) => Err(PyValueError::new_err(
                "the response belongs to another request",
            )),
            None => respond(exchange, py, response),
        };
    }
    if !request.function.is_policy {
        let response = request.function.to_response.bind(py).call1((value,))?;
        return respond(exchange, py, response.cast::<Response>()?.get());
    }
    if !value.is_none() || request.function.takes_next || has_passed {
        let expected = if request.function.takes_next {
            "a Response"
        } else {
            "None or a Response"
        };
        return Err(PyTypeError::new_err(format!(
            "a policy returns {expected}, not {}",
            value.get_type().name()?
        )));
    }
    let sent = request.with_changes(|changes| {
        exchange
            .connection
            .put(|out| encode_continue(out, exchange.number, changes, false))
    });
    sent.map_err(too_large)
}

fn too_large(_: TooLarge) -> PyErr {
    PyValueError::new_err("the header fields are larger than a message may be")
}

/// Framing is written by the node from the body's length.
fn is_framing(name: &[u8]) -> bool {
    const FRAMING: [&[u8]; 6] = [
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"upgrade",
        b"trailer",
    ];
    FRAMING
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

fn respond(exchange: &Exchange, py: Python<'_>, response: &Response) -> PyResult<()> {
    let body = response.bytes(py);
    let bytes = body.as_bytes();
    let first = bytes.get(..bytes.len().min(INLINE)).unwrap_or_default();
    let follows = first.len() < bytes.len();
    let total = bytes.len().to_string();
    let fields = lock(&response.fields);
    let own = fields.iter().filter(|(name, _)| !is_framing(name));
    // The head goes out before the body's end is known to the node, unless it is told.
    let length = follows.then_some((&b"content-length"[..], total.as_bytes()));
    let status = response.status_now();
    exchange
        .connection
        .put(|out| {
            encode_respond(
                out,
                exchange.number,
                status,
                own.chain(length),
                first,
                follows,
            )
        })
        .map_err(too_large)?;
    exchange.flow().has_responded = true;
    if follows {
        exchange.spend(first.len());
        exchange.send(&body, first.len(), true);
    }
    Ok(())
}

fn changes(exchange: &Exchange, response: &Response) -> PyResult<()> {
    let fields = lock(&response.fields);
    let status = response.changed_status().map(Change::Status);
    let changes = status.into_iter().chain(fields.changes());
    exchange
        .connection
        .put(|out| encode_response_changes(out, exchange.number, changes))
        .map_err(too_large)
}

/// `call_next`: lets the request pass and answers a future for the response.
pub(super) fn pass(request: &Request, py: Python<'_>) -> PyResult<Py<PyAny>> {
    let exchange = &request.exchange;
    let future = request.core.create_future(py)?;
    {
        let mut flow = exchange.flow();
        if std::mem::replace(&mut flow.has_passed, true) {
            drop(flow);
            return Err(PyRuntimeError::new_err("call_next was called already"));
        }
        flow.response_waiter = Some(future.clone_ref(py));
    }
    let sent = request.with_changes(|changes| {
        exchange
            .connection
            .put(|out| encode_continue(out, exchange.number, changes, true))
    });
    sent.map_err(too_large)?;
    request.core.flush_soon(py, &exchange.connection)?;
    Ok(future)
}

/// The response for `call_next` arrived.
pub(super) fn shown(
    core: &Core,
    py: Python<'_>,
    exchange: &Arc<Exchange>,
    status: u16,
    fields: Fields,
) -> PyResult<()> {
    let waiter = exchange.flow().response_waiter.take();
    let Some(waiter) = waiter else { return Ok(()) };
    if waiter.call_method0(py, "done")?.is_truthy(py)? {
        return Ok(());
    }
    core.watch.step(None);
    let response = Py::new(py, Response::shown(Arc::clone(exchange), status, fields))?;
    waiter.call_method1(py, "set_result", (response,))?;
    Ok(())
}

/// ASGI's `http.response.start`, kept back until the first piece of the body by `_asgi.py`.
pub(super) fn start(
    request: &Request,
    py: Python<'_>,
    status: u16,
    headers: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let exchange = &request.exchange;
    if std::mem::replace(&mut exchange.flow().has_responded, true) {
        return Err(PyRuntimeError::new_err("the response was started already"));
    }
    if !(200..=599).contains(&status) {
        return Err(PyValueError::new_err(format!(
            "a status is 200 to 599, not {status}"
        )));
    }
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in headers.try_iter()? {
        let (name, value): (Vec<u8>, Vec<u8>) = pair?.extract()?;
        super::headers::check_name(&name)?;
        super::headers::check_value(&value)?;
        // The length stays: it frames a body whose end is not known here yet.
        if name.eq_ignore_ascii_case(b"content-length") || !is_framing(&name) {
            fields.push((name, value));
        }
    }
    if exchange.flow().is_cancelled {
        return Ok(());
    }
    let pairs = fields.iter().map(|(name, value)| (&name[..], &value[..]));
    exchange
        .connection
        .put(|out| encode_respond(out, exchange.number, status, pairs, b"", true))
        .map_err(too_large)?;
    request.core.flush_soon(py, &exchange.connection)
}

/// A piece of a streamed body; answers a future when the window is used up.
pub(super) fn send(
    request: &Request,
    py: Python<'_>,
    body: &Bound<'_, PyBytes>,
    has_more: bool,
) -> PyResult<Option<Py<PyAny>>> {
    let exchange = &request.exchange;
    if exchange.is_sending() {
        return Err(PyRuntimeError::new_err(
            "the piece before this one was not awaited",
        ));
    }
    let is_all_sent = exchange.send(body, 0, !has_more);
    request.core.flush_soon(py, &exchange.connection)?;
    if is_all_sent || !has_more {
        return Ok(None);
    }
    let future = request.core.create_future(py)?;
    exchange.flow().room_waiter = Some(future.clone_ref(py));
    Ok(Some(future))
}

/// Credit arrived.
pub(super) fn credit(core: &Core, py: Python<'_>, exchange: &Exchange, bytes: u32) -> PyResult<()> {
    if !exchange.credit(py, bytes) {
        return Ok(());
    }
    let waiter = exchange.flow().room_waiter.take();
    if let Some(waiter) = waiter
        && !waiter.call_method0(py, "done")?.is_truthy(py)?
    {
        waiter.call_method1(py, "set_result", (py.None(),))?;
    }
    core.forget_if_done(exchange);
    Ok(())
}
