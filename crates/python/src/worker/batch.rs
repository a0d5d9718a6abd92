// SPDX-License-Identifier: Apache-2.0
//! What one read brings: taken apart first, then run.
use super::answer;
use super::connection::{Connection, lock};
use super::core::{Function, Spare};
use super::exchange::{Exchange, Stage};
use super::given::Given;
use super::headers::Fields;
use super::request::Request;
use super::turn::Worker;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_functions::{Malformed, NodeMessage, Reason, encode_error, encode_worker_credit};

/// More exchanges than this on one connection: the node has lost count.
const MAX_EXCHANGES: usize = 65_536;
/// What a frame asks of Python, noted while the frames of a read are taken apart.
pub(super) enum Task {
    Begin(Arc<Exchange>),
    Wake(Arc<Exchange>),
    Cancel(Arc<Exchange>),
    Show(Arc<Exchange>, u16, Fields),
    Credit(Arc<Exchange>, u32),
}

impl Worker {
    /// Takes a read apart. No Python runs here, so all of it is known before any code begins.
    pub(super) fn sort(&self, connection: &Arc<Connection>) -> Result<Vec<Task>, Malformed> {
        let mut tasks = Vec::new();
        let now = self.core.clock.now();
        connection.messages(|number, message| {
            let found = lock(&connection.exchanges).get(&number).cloned();
            match (message, found) {
                (NodeMessage::Settings(text), _) => {
                    let given = Arc::new(Given::new(text));
                    lock(&connection.settings).insert(number, given);
                }
                (NodeMessage::Request(_), Some(_)) => {
                    return Err(Malformed("a number that is taken"));
                }
                (NodeMessage::Request(head), None) => {
                    let given = match head.settings() {
                        0 => None,
                        number => Some(
                            lock(&connection.settings)
                                .get(&number)
                                .cloned()
                                .ok_or(Malformed("settings that were not told"))?,
                        ),
                    };
                    let own = Arc::clone(connection);
                    let exchange = Arc::new(Exchange::new(own, number, *head, given, now));
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
                encode_error(out, exchange.number, Reason::Exception);
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
    pub(super) fn run(
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

    pub(super) fn batch(&self, py: Python<'_>, tasks: Vec<Task>) -> PyResult<()> {
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
