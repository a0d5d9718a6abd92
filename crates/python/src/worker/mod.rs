// SPDX-License-Identifier: Apache-2.0
//! The function worker's end of the protocol, inside the interpreter that runs user code.
//!
//! The sockets belong to the asyncio loop of the main thread. Its reader callback takes a whole
//! read apart before any user code runs, starts each coroutine right there and sends all answers
//! with one write. A coroutine that never waits is over by then and costs no task; one that waits
//! takes over the spare task it ran under and goes on like any other. Plain functions run on
//! threads, which send their answers themselves. A thread without the GIL watches both.
//!
//! Start with [`turn`] (what the loop calls) and [`batch`] (what a read brings), then [`answer`] (what becomes of a result).
mod answer;
mod batch;
mod body;
mod call_next;
mod connection;
mod core;
mod exchange;
mod given;
mod headers;
mod pool;
mod ready;
mod request;
mod response;
mod send;
mod turn;
mod watchdog;

use self::core::{Core, Function};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// Adds the classes that user code sees and `run_worker`.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<headers::Headers>()?;
    module.add_class::<request::Request>()?;
    module.add_class::<call_next::CallNext>()?;
    module.add_class::<response::Response>()?;
    module.add_class::<turn::Worker>()?;
    module.add_function(wrap_pyfunction!(run_worker, module)?)
}

/// Serves functions on a listening socket until the loop is stopped.
///
/// Args:
///     event_loop: An asyncio loop that does not run yet, of this thread.
///     listener: Descriptor of a listening Unix stream socket; taken over.
///     functions: Objects with `name`, `target`, `is_policy`, `is_async`, `takes_next`,
///         `is_streaming`, `deadline_ms`, `max_body`, `threads`, `to_response` and `bind`.
///     hooks: The helpers of `tidegate.functions._hooks`.
///     options: `log_descriptor`, `dump_descriptor`, `dump_signal`, `capacity`.
///     on_start: Called with the worker just before the loop runs.
#[pyfunction]
fn run_worker(
    py: Python<'_>,
    event_loop: &Bound<'_, PyAny>,
    listener: RawFd,
    functions: &Bound<'_, PyList>,
    hooks: &Bound<'_, PyAny>,
    options: &Bound<'_, PyDict>,
    on_start: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: the caller hands the descriptor over and does not use it again.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(listener) });
    listener.set_nonblocking(true)?;
    // Each thread would else reserve an arena of 64 MiB, out of the memory limit.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number inside the allocator, before there are other threads of ours.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    let read = functions
        .iter()
        .map(|function| Function::read(&function))
        .collect::<PyResult<Vec<_>>>()?;
    let core = Arc::new(Core::new(event_loop, listener, read, hooks, options)?);
    let worker = turn::Worker::start(py, &core)?;
    let watching = {
        let core = Arc::clone(&core);
        std::thread::Builder::new()
            .name("tidegate-watchdog".into())
            .stack_size(256 << 10)
            .spawn(move || watchdog::watch(&core))?
    };
    on_start.call1((worker,))?;
    let outcome = event_loop.call_method0("run_forever");
    core.watch.stop();
    for function in core.functions.values() {
        function.pool.close();
    }
    // The watchdog takes no GIL and ends at once; its panic would have been printed.
    let _ = py.detach(|| watching.join());
    outcome.map(drop)
}
