// SPDX-License-Identifier: Apache-2.0
//! One turn: what a read brings is taken apart, then run.
use super::answer;
use super::connection::{Connection, Heard, lock};
use super::core::{Callbacks, Core, Function, Spare};
use super::exchange::{Exchange, Stage};
use super::headers::Fields;
use super::request::{CallNext, Request};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_functions::{
    Malformed, NodeMessage, encode_closing, encode_error, encode_ready, encode_worker_credit,
};

/// More exchanges than this on one connection: the node has lost count.
const MAX_EXCHANGES: usize = 65_536;
/// Connections accepted per turn, so that those there are get their turn as well.
const ACCEPT: usize = 64;

/// The object whose methods the loop calls.
#[pyclass(frozen)]
pub(super) struct Worker {
    core: Arc<Core>,
}

/// What a frame asks of Python, noted while the frames of a read are taken apart.
enum Task {
    Begin(Arc<Exchange>),
    Wake(Arc<Exchange>),
    Cancel(Arc<Exchange>),
    Show(Arc<Exchange>, u16, Fields),
    Credit(Arc<Exchange>, u32),
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

    /// Takes a read apart. No Python runs here, so all of it is known before any code begins.
    fn sort(&self, connection: &Arc<Connection>) -> Result<Vec<Task>, Malformed> {
        let mut tasks = Vec::new();
        let now = self.core.clock.now();
        connection.messages(|number, message| {
            let found = lock(&connection.exchanges).get(&number).cloned();
            match (message, found) {
                (NodeMessage::Request(_), Some(_)) => {
                    return Err(Malformed("a number that is taken"));
                }
                (NodeMessage::Request(head), None) => {
                    let exchange =
                        Arc::new(Exchange::new(Arc::clone(connection), number, *head, now));
                    let mut exchanges = lock(&connection.exchanges);
                    if exchanges.len() >= MAX_EXCHANGES {
                        return Err(Malformed("too many exchanges"));
                    }
                    exchanges.insert(number, Arc::clone(&exchange));
                    tasks.push(Task::Begin(exchange));
                }
                (NodeMessage::Body { bytes, is_last }, Some(exchange)) => {
                    let function = self.core.functions.get(exchange.head.function());
                    let max_body = function.map_or(0, |function| function.max_body);
                    if exchange.receive(bytes, is_last, max_body)? {
                        connection.put(|out| encode_worker_credit(out, number, bytes.len() as u32));
                    }
                    tasks.push(Task::Wake(exchange));
                }
                (NodeMessage::Cancel, Some(exchange)) => {
                    // At once, so that one of the same read does not begin.
                    exchange.flow().is_cancelled = true;
                    tasks.push(Task::Cancel(exchange));
                }
                (NodeMessage::Response { status, fields }, Some(exchange)) => {
                    tasks.push(Task::Show(exchange, status, Fields::of_list(fields.iter())));
                }
                (NodeMessage::Credit(bytes), Some(exchange)) => {
                    tasks.push(Task::Credit(exchange, bytes))
                }
                // What comes for an exchange that has ended crossed its end on the way.
                (_, None) => {}
            }
            Ok(())
        })?;
        Ok(tasks)
    }

    fn work(&self, py: Python<'_>, task: Task) -> PyResult<()> {
        match task {
            Task::Begin(exchange) => self.begin(py, exchange),
            Task::Cancel(exchange) => self.core.cancel(py, &exchange),
            Task::Show(exchange, status, fields) => {
                answer::shown(&self.core, py, &exchange, status, fields)
            }
            Task::Credit(exchange, bytes) => answer::credit(&self.core, py, &exchange, bytes),
            Task::Wake(exchange) => {
                let is_waited_for = !exchange.flow().body_waiters.is_empty();
                match self.core.functions.get(exchange.head.function()) {
                    Some(function) if is_waited_for => {
                        Request::new(Arc::clone(&self.core), Arc::clone(function), exchange)
                            .wake(py)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn begin(&self, py: Python<'_>, exchange: Arc<Exchange>) -> PyResult<()> {
        self.core.watch.rouse();
        let Some(function) = self.core.functions.get(exchange.head.function()) else {
            let message = format!(
                "a request for the function {:?}, which is not here",
                exchange.head.function()
            );
            self.core.hooks.complain.call1(py, (message,))?;
            exchange.connection.put(|out| {
                encode_error(out, exchange.number, tidegate_functions::Reason::Exception);
            });
            return self.core.end(py, &exchange);
        };
        if !function.is_async {
            return match function.pool.add(exchange) {
                Some(number) => self.start_thread(py, function, number),
                None => Ok(()),
            };
        }
        if !exchange.start(Stage::OnLoop) {
            return self.core.end(py, &exchange);
        }
        self.run(py, Arc::clone(function), exchange)
    }

    /// Starts a thread of a pool. When the system gives none, those there are do the work.
    fn start_thread(&self, py: Python<'_>, function: &Function, number: u32) -> PyResult<()> {
        let options = PyDict::new(py);
        options.set_item(
            "target",
            self.core.callback(py, |callbacks| &callbacks.serve)?,
        )?;
        options.set_item("args", (&function.name,))?;
        options.set_item("name", format!("{}-{number}", function.name))?;
        options.set_item("daemon", true)?;
        let thread = py
            .import("threading")?
            .getattr("Thread")?
            .call((), Some(&options))?;
        match thread.call_method0("start") {
            Err(error) if function.pool.failed() == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs the code in a context of its own; a coroutine that waits gets the spare task.
    fn run(
        &self,
        py: Python<'_>,
        function: Arc<Function>,
        exchange: Arc<Exchange>,
    ) -> PyResult<()> {
        let request = Bound::new(py, Request::new(Arc::clone(&self.core), function, exchange))?;
        let context = self.core.hooks.copy_context.bind(py).call0()?;
        let begin = self.core.callback(py, |callbacks| &callbacks.begin)?;
        let waiting = context.call_method1("run", (begin, &request))?;
        if waiting.is_none() {
            return Ok(());
        }
        let (coroutine, yielded): (Bound<'_, PyAny>, Bound<'_, PyAny>) = waiting.extract()?;
        let spare = lock(&self.core.spare).take();
        let Some(spare) = spare else { return Ok(()) };
        request.get().exchange.flow().task = Some(spare.task.clone_ref(py));
        spare
            .carry
            .call_method1(py, "take", (request, coroutine, context, yielded))?;
        let leave = &self.core.hooks.leave_task;
        leave.call1(py, (&self.core.event_loop, spare.task))?;
        self.enter_spare(py)
    }

    /// Makes the spare task the current one, for code that asks asyncio whose it is.
    fn enter_spare(&self, py: Python<'_>) -> PyResult<()> {
        let mut spare = lock(&self.core.spare).take();
        // One that the code cancelled is no good for the next.
        if let Some(old) = &spare
            && old.task.call_method0(py, "cancelling")?.is_truthy(py)?
        {
            spare = None;
        }
        let spare = match spare {
            Some(spare) => spare,
            None => {
                let (carry, task) = self.core.hooks.new_spare.call0(py)?.extract(py)?;
                Spare { carry, task }
            }
        };
        self.core
            .hooks
            .enter_task
            .call1(py, (&self.core.event_loop, &spare.task))?;
        *lock(&self.core.spare) = Some(spare);
        Ok(())
    }

    fn leave_spare(&self, py: Python<'_>) -> PyResult<()> {
        let task = lock(&self.core.spare)
            .as_ref()
            .map(|spare| spare.task.clone_ref(py));
        if let Some(task) = task {
            self.core
                .hooks
                .leave_task
                .call1(py, (&self.core.event_loop, task))?;
        }
        Ok(())
    }

    fn batch(&self, py: Python<'_>, tasks: Vec<Task>) -> PyResult<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        self.enter_spare(py)?;
        self.core.is_in_batch.store(true, Ordering::Relaxed);
        for task in tasks {
            if let Err(error) = self.work(py, task) {
                // A defect of ours: the exchange runs into its deadline, the others go on.
                self.core.hooks.complain.call1(py, (format!("{error}"),))?;
            }
        }
        self.core.is_in_batch.store(false, Ordering::Relaxed);
        self.core.watch.step(None);
        self.leave_spare(py)
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
        let target = own.function.target.bind(py);
        if own.function.is_async {
            self.core.watch.step(Some(&own.exchange));
        }
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

/// What a coroutine did.
enum Sent<'py> {
    Returned(Bound<'py, PyAny>),
    Waits(Bound<'py, PyAny>),
}

/// `coroutine.send(None)` without an exception for its end.
fn send_none<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
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
