// SPDX-License-Identifier: Apache-2.0
//! What the event loop calls.
use super::answer;
use super::call_next::CallNext;
use super::connection::{Connection, Heard, lock};
use super::core::{Callbacks, Core};
use super::exchange::Stage;
use super::request::Request;
use super::send::{Sent, send_none};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_functions::{encode_closing, encode_ready};

/// Connections accepted per turn, so that those there are get their turn as well.
const ACCEPT: usize = 64;

/// The object whose methods the loop calls.
#[pyclass(frozen)]
pub(super) struct Worker {
    pub(super) core: Arc<Core>,
}

impl Worker {
    /// Makes the object and has the loop call it.
    pub(super) fn start<'py>(py: Python<'py>, core: &Arc<Core>) -> PyResult<Bound<'py, Self>> {
        let object = Bound::new(
            py,
            Self {
                core: Arc::clone(core),
            },
        )?;
        let get = |name: &str| object.getattr(name).map(Bound::unbind);
        *lock(&core.callbacks) = Some(Callbacks {
            begin: get("_begin")?,
            serve: get("_serve")?,
            flush: get("_flush")?,
            watch_room: get("_watch_room")?,
            writable: get("_writable")?,
            readable: get("_readable")?,
        });
        let event_loop = core.event_loop.bind(py);
        if let Some(listener) = &*lock(&core.listener) {
            event_loop.call_method1(
                "add_reader",
                (listener.as_raw_fd(), object.getattr("_accept")?),
            )?;
        }
        event_loop.call_method1(
            "add_reader",
            (core.watch.descriptor(), object.getattr("_answer")?),
        )?;
        Ok(object)
    }

    fn close(&self, py: Python<'_>, connection: &Arc<Connection>) -> PyResult<()> {
        let core = &self.core;
        if lock(&core.connections).remove(&connection.id).is_none() {
            return Ok(());
        }
        core.event_loop
            .call_method1(py, "remove_reader", (connection.descriptor(),))?;
        core.event_loop
            .call_method1(py, "remove_writer", (connection.descriptor(),))?;
        for exchange in connection.close() {
            core.cancel(py, &exchange)?;
        }
        self.stop_if_drained(py)
    }

    fn stop_if_drained(&self, py: Python<'_>) -> PyResult<()> {
        if self.core.is_draining.load(Ordering::Relaxed) && lock(&self.core.connections).is_empty()
        {
            self.core.event_loop.call_method0(py, "stop")?;
        }
        Ok(())
    }
}

#[pymethods]
impl Worker {
    /// The listening socket has connections.
    fn _accept(&self, py: Python<'_>) -> PyResult<()> {
        for _ in 0..ACCEPT {
            let accepted = match &*lock(&self.core.listener) {
                Some(listener) => listener.accept(),
                None => return Ok(()),
            };
            // Out of descriptors, or another process on the same socket was faster.
            let Ok((socket, _)) = accepted else {
                return Ok(());
            };
            socket.set_nonblocking(true)?;
            let id = self.core.last_connection.fetch_add(1, Ordering::Relaxed) + 1;
            let connection = Arc::new(Connection::new(id, socket));
            lock(&self.core.connections).insert(id, Arc::clone(&connection));
            connection.put(|out| encode_ready(out, self.core.capacity));
            let readable = self.core.callback(py, |callbacks| &callbacks.readable)?;
            self.core.event_loop.call_method1(
                py,
                "add_reader",
                (connection.descriptor(), readable, id),
            )?;
            self.core.flush(py, &connection)?;
        }
        Ok(())
    }

    /// A connection has something to read.
    fn _readable(&self, py: Python<'_>, id: u32) -> PyResult<()> {
        let Some(connection) = self.core.connection(id) else {
            return Ok(());
        };
        match connection.read() {
            Heard::Nothing => return Ok(()),
            Heard::Gone => return self.close(py, &connection),
            Heard::Some => {}
        }
        match self.sort(&connection) {
            Ok(tasks) => {
                self.batch(py, tasks)?;
                self.core.flush(py, &connection)
            }
            Err(error) => {
                self.core
                    .hooks
                    .complain
                    .call1(py, (format!("a node's connection is closed: {error}"),))?;
                self.close(py, &connection)
            }
        }
    }

    /// A connection has room to send again.
    fn _writable(&self, py: Python<'_>, id: u32) -> PyResult<()> {
        let Some(connection) = self.core.connection(id) else {
            return Ok(());
        };
        self.core
            .event_loop
            .call_method1(py, "remove_writer", (connection.descriptor(),))?;
        connection.unwatch();
        self.core.flush(py, &connection)
    }

    /// Sends what was put on a connection since the last turn.
    fn _flush(&self, py: Python<'_>, id: u32) -> PyResult<()> {
        match self.core.connection(id) {
            Some(connection) => self.core.flush(py, &connection),
            None => Ok(()),
        }
    }

    /// A thread found that the node does not read.
    fn _watch_room(&self, py: Python<'_>, id: u32) -> PyResult<()> {
        match self.core.connection(id) {
            Some(connection) if connection.is_open() => self.core.watch_room(py, &connection),
            _ => Ok(()),
        }
    }

    /// The watchdog asks whether the loop still turns.
    fn _answer(&self) {
        self.core.watch.answer();
    }

    /// Runs the code of a request, inside the context made for it. Answers `None` when it is over,
    /// else the coroutine and what it waits for.
    fn _begin<'py>(&self, request: &Bound<'py, Request>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = request.py();
        let own = request.get();
        self.core.hooks.enter_request.call1(py, (request,))?;
        if own.function.is_async {
            self.core.watch.step(Some(&own.exchange));
        }
        let given = own.exchange.given.as_ref();
        let target = match given.map(|given| given.target(py, &own.function)) {
            None => own.function.target.bind(py).clone(),
            Some(Ok(target)) => target,
            Some(Err(error)) => {
                answer::fail(request, error)?;
                return Ok(None);
            }
        };
        let result = if own.function.takes_next {
            target.call1((
                request,
                CallNext {
                    request: request.clone().unbind(),
                },
            ))
        } else {
            target.call1((request,))
        };
        let coroutine = match result {
            Ok(value) if !own.function.is_async => {
                answer::finish(request, &value)?;
                return Ok(None);
            }
            Ok(coroutine) => coroutine,
            Err(error) => {
                answer::fail(request, error)?;
                return Ok(None);
            }
        };
        match send_none(&coroutine) {
            Ok(Sent::Returned(value)) => answer::finish(request, &value)?,
            Ok(Sent::Waits(yielded)) => return PyTuple::new(py, [coroutine, yielded]).map(Some),
            Err(error) => answer::fail(request, error)?,
        }
        Ok(None)
    }

    /// Runs plain functions; one thread of the pool each.
    fn _serve(&self, py: Python<'_>, function: &str) -> PyResult<()> {
        let Some(function) = self.core.functions.get(function) else {
            return Ok(());
        };
        while let Some(exchange) = py.detach(|| function.pool.take()) {
            if !exchange.start(Stage::OnThread) {
                self.core.end(py, &exchange)?;
                continue;
            }
            if let Err(error) = self.run(py, Arc::clone(function), exchange) {
                self.core.hooks.complain.call1(py, (format!("{error}"),))?;
            }
        }
        Ok(())
    }

    /// Takes no new connections, tells the nodes to send no more, and stops the loop once they
    /// have closed theirs.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        if self.core.is_draining.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let listener = lock(&self.core.listener).take();
        if let Some(listener) = listener {
            self.core
                .event_loop
                .call_method1(py, "remove_reader", (listener.as_raw_fd(),))?;
        }
        let connections: Vec<Arc<Connection>> =
            lock(&self.core.connections).values().cloned().collect();
        for connection in connections {
            connection.put(encode_closing);
            self.core.flush(py, &connection)?;
        }
        self.stop_if_drained(py)
    }
}
