// SPDX-License-Identifier: Apache-2.0
use super::connection::{Connection, Flushed, lock};
use super::exchange::{Exchange, Stage};
use super::pool::Pool;
use super::watchdog::Watch;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashMap;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_core::Clock;

/// Exit code of a worker that ended itself because its loop or a thread was stuck.
pub(super) const EXIT_STUCK: i32 = 4;
/// Exit code of a worker that reached its memory limit.
pub(super) const EXIT_MEMORY: i32 = 5;

/// One function of this worker, as Python resolved it.
pub(super) struct Function {
    pub(super) name: String,
    /// Called with the request, and with `call_next` when `takes_next`.
    pub(super) target: Py<PyAny>,
    pub(super) is_policy: bool,
    pub(super) is_async: bool,
    pub(super) takes_next: bool,
    /// Whether it sends its response by itself, piece by piece.
    pub(super) is_streaming: bool,
    pub(super) deadline_ms: u64,
    pub(super) max_body: u64,
    /// `(value) -> Response` for what it returned.
    pub(super) to_response: Py<PyAny>,
    /// `(text) -> target` with settings, for a policy that has some.
    pub(super) bind: Py<PyAny>,
    /// Where plain functions run.
    pub(super) pool: Pool,
}

impl Function {
    pub(super) fn read(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            name: source.getattr("name")?.extract()?,
            target: source.getattr("target")?.unbind(),
            is_policy: source.getattr("is_policy")?.extract()?,
            is_async: source.getattr("is_async")?.extract()?,
            takes_next: source.getattr("takes_next")?.extract()?,
            is_streaming: source.getattr("is_streaming")?.extract()?,
            deadline_ms: source.getattr("deadline_ms")?.extract()?,
            max_body: source.getattr("max_body")?.extract()?,
            to_response: source.getattr("to_response")?.unbind(),
            bind: source.getattr("bind")?.unbind(),
            pool: Pool::new(source.getattr("threads")?.extract()?),
        })
    }
}

/// The Python side's helpers and asyncio's own, looked up once.
pub(super) struct Hooks {
    /// `ContextVar.set` of the variable that tells the log which request speaks.
    pub(super) enter_request: Py<PyAny>,
    pub(super) copy_context: Py<PyAny>,
    pub(super) enter_task: Py<PyAny>,
    pub(super) leave_task: Py<PyAny>,
    /// `() -> (carry, task)`; see `_carry.py`.
    pub(super) new_spare: Py<PyAny>,
    /// `(request, error)`: writes the traceback to the log.
    pub(super) report: Py<PyAny>,
    /// `(message)`: writes a line about the worker itself.
    pub(super) complain: Py<PyAny>,
    pub(super) body_too_large: Py<PyAny>,
    pub(super) cancelled: Py<PyAny>,
    pub(super) create_future: Py<PyAny>,
    pub(super) call_soon: Py<PyAny>,
    pub(super) call_soon_threadsafe: Py<PyAny>,
}

impl Hooks {
    fn read(event_loop: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = source.py();
        let tasks = py.import("asyncio")?.getattr("tasks")?;
        let get = |name: &str| source.getattr(name).map(Bound::unbind);
        Ok(Self {
            enter_request: get("enter_request")?,
            copy_context: py.import("contextvars")?.getattr("copy_context")?.unbind(),
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            new_spare: get("new_spare")?,
            report: get("report")?,
            complain: get("complain")?,
            body_too_large: get("body_too_large")?,
            cancelled: py.import("asyncio")?.getattr("CancelledError")?.unbind(),
            create_future: event_loop.getattr("create_future")?.unbind(),
            call_soon: event_loop.getattr("call_soon")?.unbind(),
            call_soon_threadsafe: event_loop.getattr("call_soon_threadsafe")?.unbind(),
        })
    }
}

/// The task that coroutines run under until one of them really waits; it then becomes that one's.
pub(super) struct Spare {
    pub(super) carry: Py<PyAny>,
    pub(super) task: Py<PyAny>,
}

/// Everything the worker's parts share.
pub(super) struct Core {
    pub(super) clock: Clock,
    pub(super) functions: HashMap<String, Arc<Function>>,
    pub(super) hooks: Hooks,
    pub(super) event_loop: Py<PyAny>,
    pub(super) listener: Mutex<Option<UnixListener>>,
    pub(super) connections: Mutex<HashMap<u32, Arc<Connection>>>,
    pub(super) last_connection: AtomicU32,
    pub(super) capacity: u32,
    pub(super) spare: Mutex<Option<Spare>>,
    /// Whether frames of a read are being worked on, which ends with a flush.
    pub(super) is_in_batch: AtomicBool,
    pub(super) is_draining: AtomicBool,
    pub(super) watch: Watch,
    /// The bound methods of the worker object, for the loop to call.
    pub(super) callbacks: Mutex<Option<Callbacks>>,
}

/// Bound methods, made once.
pub(super) struct Callbacks {
    pub(super) begin: Py<PyAny>,
    pub(super) serve: Py<PyAny>,
    pub(super) flush: Py<PyAny>,
    pub(super) watch_room: Py<PyAny>,
    pub(super) writable: Py<PyAny>,
    pub(super) readable: Py<PyAny>,
}

impl Core {
    pub(super) fn new(
        event_loop: &Bound<'_, PyAny>,
        listener: UnixListener,
        functions: Vec<Function>,
        hooks: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let longest = functions
            .iter()
            .map(|function| function.deadline_ms)
            .max()
            .unwrap_or(0);
        let get = |name: &str| -> PyResult<i32> {
            let value = options.get_item(name)?;
            value
                .ok_or_else(|| PyValueError::new_err(format!("the option {name} is missing")))?
                .extract()
        };
        let log_offset = options
            .get_item("log_offset_s")?
            .map_or(Ok(None), |value| value.extract())?;
        let watch = Watch::new(
            longest,
            get("log_descriptor")?,
            log_offset,
            get("dump_descriptor")?,
            get("dump_signal")?,
        )?;
        Ok(Self {
            clock: Clock::system(),
            functions: functions
                .into_iter()
                .map(|f| (f.name.clone(), Arc::new(f)))
                .collect(),
            hooks: Hooks::read(event_loop, hooks)?,
            event_loop: event_loop.clone().unbind(),
            listener: Mutex::new(Some(listener)),
            connections: Mutex::default(),
            last_connection: AtomicU32::new(0),
            capacity: u32::try_from(get("capacity")?).unwrap_or(1),
            spare: Mutex::default(),
            is_in_batch: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            watch,
            callbacks: Mutex::default(),
        })
    }

    pub(super) fn callback(
        &self,
        py: Python<'_>,
        which: impl Fn(&Callbacks) -> &Py<PyAny>,
    ) -> PyResult<Py<PyAny>> {
        match &*lock(&self.callbacks) {
            Some(callbacks) => Ok(which(callbacks).clone_ref(py)),
            None => Err(PyValueError::new_err("the worker does not run")),
        }
    }

    pub(super) fn connection(&self, number: u32) -> Option<Arc<Connection>> {
        lock(&self.connections).get(&number).cloned()
    }

    /// The exchange's code has ended: forget it, unless its body is still being sent.
    pub(super) fn end(&self, py: Python<'_>, exchange: &Exchange) -> PyResult<()> {
        let mut flow = exchange.flow();
        flow.stage = Stage::Ended;
        // Breaks cycles from the request through its task and futures back to it.
        let mut waiters = std::mem::take(&mut flow.body_waiters);
        waiters.extend(flow.response_waiter.take());
        waiters.extend(flow.room_waiter.take());
        let task = flow.task.take();
        drop(flow);
        drop(task);
        self.wake_all(py, exchange, waiters)?;
        self.forget_if_done(exchange);
        Ok(())
    }

    /// Nothing comes any more for those who wait: an ASGI application hears of a disconnect, others
    /// are cancelled.
    fn wake_all(
        &self,
        py: Python<'_>,
        exchange: &Exchange,
        waiters: Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let is_streaming = self
            .functions
            .get(exchange.head.function())
            .is_some_and(|f| f.is_streaming);
        for waiter in waiters {
            if is_streaming && !waiter.call_method0(py, "done")?.is_truthy(py)? {
                waiter.call_method1(py, "set_result", (py.None(),))?;
            } else {
                waiter.call_method0(py, "cancel")?;
            }
        }
        Ok(())
    }

    /// Removes an exchange that ended and has sent everything.
    pub(super) fn forget_if_done(&self, exchange: &Exchange) {
        let is_done = exchange.flow().stage == Stage::Ended && !exchange.is_sending();
        if is_done {
            lock(&exchange.connection.exchanges).remove(&exchange.number);
        }
    }

    /// Frames were put on a connection outside a batch, by the loop's thread: send them now when
    /// nothing else is under way, else together at the loop's next turn.
    pub(super) fn flush_soon(&self, py: Python<'_>, connection: &Arc<Connection>) -> PyResult<()> {
        if self.is_in_batch.load(Ordering::Relaxed) {
            return Ok(());
        }
        let is_alone = lock(&connection.exchanges).len() <= 1;
        if is_alone {
            return self.flush(py, connection);
        }
        if connection.schedule() {
            let flush = self.callback(py, |callbacks| &callbacks.flush)?;
            self.hooks.call_soon.call1(py, (flush, connection.id))?;
        }
        Ok(())
    }

    /// Sends what waits and has the loop watch the socket if the node does not read. For the
    /// loop's thread.
    pub(super) fn flush(&self, py: Python<'_>, connection: &Arc<Connection>) -> PyResult<()> {
        match connection.flush() {
            Flushed::Blocked => self.watch_room(py, connection),
            // A broken socket also reads as closed, and is cleared away there.
            Flushed::Done | Flushed::Gone => Ok(()),
        }
    }

    /// Has the loop watch a connection for room to send.
    pub(super) fn watch_room(&self, py: Python<'_>, connection: &Arc<Connection>) -> PyResult<()> {
        let writable = self.callback(py, |callbacks| &callbacks.writable)?;
        let arguments = (connection.descriptor(), writable, connection.id);
        self.event_loop.call_method1(py, "add_writer", arguments)?;
        Ok(())
    }

    /// Like [`Core::flush`] for the other threads.
    pub(super) fn flush_from_thread(
        &self,
        py: Python<'_>,
        connection: &Arc<Connection>,
    ) -> PyResult<()> {
        let flushed = py.detach(|| connection.flush());
        if flushed == Flushed::Blocked {
            let watch = self.callback(py, |callbacks| &callbacks.watch_room)?;
            self.hooks
                .call_soon_threadsafe
                .call1(py, (watch, connection.id))?;
        }
        Ok(())
    }

    pub(super) fn create_future(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.hooks.create_future.call0(py)
    }

    /// Gives an exchange up: wakes or cancels whatever waits for it.
    pub(super) fn cancel(&self, py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<()> {
        self.wake_all(py, exchange, exchange.give_up())?;
        let flow = exchange.flow();
        let (stage, task) = (
            flow.stage,
            flow.task.as_ref().map(|task| task.clone_ref(py)),
        );
        drop(flow);
        if let Some(task) = task {
            task.call_method0(py, "cancel")?;
        }
        if stage == Stage::Queued {
            return self.end(py, exchange);
        }
        self.forget_if_done(exchange);
        Ok(())
    }
}
