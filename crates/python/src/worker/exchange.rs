// SPDX-License-Identifier: Apache-2.0
use super::connection::{Connection, lock};
use super::given::Given;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::Moment;
use tidegate_functions::{BodyKind, CHUNK, Malformed, RequestHead, WINDOW, encode_worker_body};

/// How far an exchange has come. Only [`Stage::Queued`] may go to another worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its code has not begun.
    Queued,
    /// Its code runs on the loop.
    OnLoop,
    /// Its code runs on a thread of the pool.
    OnThread,
    /// Its code has ended.
    Ended,
}

/// The part of a body that waits for credit.
pub(super) struct Unsent {
    bytes: Py<PyBytes>,
    start: usize,
    is_last: bool,
}

/// What changes while an exchange runs.
pub(super) struct Flow {
    pub(super) stage: Stage,
    /// Whether the node waits no more.
    pub(super) is_cancelled: bool,
    /// Bytes of the request's body that arrived and were not taken.
    pub(super) body: Vec<u8>,
    pub(super) body_ended: bool,
    pub(super) body_asked: bool,
    /// Whether `body()` collects, so that credit follows arrival instead of use.
    pub(super) is_collecting: bool,
    pub(super) too_large: bool,
    pub(super) whole: Option<Py<PyBytes>>,
    /// Futures that wait for the body; woken by any change of it.
    pub(super) body_waiters: Vec<Py<PyAny>>,
    /// The future that `call_next` gave out.
    pub(super) response_waiter: Option<Py<PyAny>>,
    /// Whether the request was let pass.
    pub(super) has_passed: bool,
    /// Whether the head of a response was sent.
    pub(super) has_responded: bool,
    /// Bytes that may be sent before the node gives credit.
    room: u32,
    unsent: Option<Unsent>,
    /// The future that waits for credit.
    pub(super) room_waiter: Option<Py<PyAny>>,
    /// The task, once the code has really waited.
    pub(super) task: Option<Py<PyAny>>,
}

/// One request inside the worker.
pub(super) struct Exchange {
    pub(super) connection: Arc<Connection>,
    pub(super) number: u32,
    pub(super) head: RequestHead,
    /// The settings that its code is given.
    pub(super) given: Option<Arc<Given>>,
    /// When the node answers itself.
    pub(super) deadline: Moment,
    flow: Mutex<Flow>,
    changed: Condvar,
}

impl Exchange {
    pub(super) fn new(
        connection: Arc<Connection>,
        number: u32,
        head: RequestHead,
        given: Option<Arc<Given>>,
        now: Moment,
    ) -> Self {
        let is_here = matches!(
            head.body(),
            BodyKind::None | BodyKind::Inline | BodyKind::Withheld
        );
        let flow = Flow {
            stage: Stage::Queued,
            is_cancelled: false,
            body: head.inline_body().to_vec(),
            body_ended: is_here,
            body_asked: head.body() == BodyKind::Stream,
            is_collecting: false,
            too_large: false,
            whole: None,
            body_waiters: Vec::new(),
            response_waiter: None,
            has_passed: false,
            has_responded: false,
            room: WINDOW,
            unsent: None,
            room_waiter: None,
            task: None,
        };
        let deadline = now.after_millis(u64::from(head.deadline_ms()));
        Self {
            connection,
            number,
            head,
            given,
            deadline,
            flow: Mutex::new(flow),
            changed: Condvar::new(),
        }
    }

    /// Never held while Python runs.
    pub(super) fn flow(&self) -> MutexGuard<'_, Flow> {
        lock(&self.flow)
    }

    /// Takes it from the queue; false when there is nothing left to do for it.
    pub(super) fn start(&self, stage: Stage) -> bool {
        let mut flow = self.flow();
        if flow.stage != Stage::Queued || flow.is_cancelled {
            flow.stage = Stage::Ended;
            return false;
        }
        flow.stage = stage;
        true
    }

    /// A part of the request's body arrived. Answers whether credit for it is due at once.
    pub(super) fn receive(
        &self,
        bytes: &[u8],
        is_last: bool,
        max_body: u64,
    ) -> Result<bool, Malformed> {
        let mut flow = self.flow();
        if flow.body_ended || !flow.body_asked {
            return Err(Malformed("a body that nobody asked for"));
        }
        flow.body_ended = is_last;
        let total = flow.body.len() + bytes.len();
        if flow.is_collecting && total as u64 > max_body {
            flow.too_large = true;
            flow.body = Vec::new();
        } else if !flow.is_collecting && total > WINDOW as usize {
            return Err(Malformed("a body beyond its window"));
        } else if !flow.too_large {
            flow.body.extend_from_slice(bytes);
        }
        let is_due = flow.is_collecting && !flow.too_large && !is_last && !bytes.is_empty();
        drop(flow);
        self.changed.notify_all();
        Ok(is_due)
    }

    /// Blocks a thread of the pool until the body is whole, the node gives up or `limit` passes.
    pub(super) fn wait_for_body(&self, limit: Duration) {
        let flow = self.flow();
        let still = |flow: &mut Flow| !flow.body_ended && !flow.too_large && !flow.is_cancelled;
        drop(
            self.changed
                .wait_timeout_while(flow, limit, still)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Sends a body, as much as the window allows now and the rest as credit comes. Answers whether
    /// all of it is on its way.
    pub(super) fn send(&self, bytes: &Bound<'_, PyBytes>, start: usize, is_last: bool) -> bool {
        let mut flow = self.flow();
        if flow.is_cancelled {
            return true;
        }
        flow.unsent = Some(Unsent {
            bytes: bytes.clone().unbind(),
            start,
            is_last,
        });
        self.pump(bytes.py(), &mut flow)
    }

    /// The node allows so many bytes more. Answers whether all of the body is on its way.
    pub(super) fn credit(&self, py: Python<'_>, bytes: u32) -> bool {
        let mut flow = self.flow();
        flow.room = flow.room.saturating_add(bytes);
        self.pump(py, &mut flow)
    }

    fn pump(&self, py: Python<'_>, flow: &mut Flow) -> bool {
        let Some(mut unsent) = flow.unsent.take() else {
            return true;
        };
        let bytes = unsent.bytes.clone_ref(py);
        let rest = bytes.as_bytes(py).get(unsent.start..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(flow.room as usize));
        flow.room -= now.len() as u32;
        let is_last = unsent.is_last && later.is_empty();
        self.connection.put(|out| {
            out.reserve(now.len() + 16 * (1 + now.len() / CHUNK));
            encode_worker_body(out, self.number, now, is_last);
        });
        if later.is_empty() {
            return true;
        }
        unsent.start += now.len();
        flow.unsent = Some(unsent);
        false
    }

    /// The window is used by bytes that went out with a head.
    pub(super) fn spend(&self, bytes: usize) {
        let mut flow = self.flow();
        flow.room = flow.room.saturating_sub(bytes as u32);
    }

    /// Whether the answer is still being sent.
    pub(super) fn is_sending(&self) -> bool {
        self.flow().unsent.is_some()
    }

    /// Whether the node waits for something before the deadline: not while the code waits for an
    /// endpoint, and not once its response has begun.
    pub(super) fn is_awaited(&self) -> bool {
        let flow = self.flow();
        flow.stage != Stage::Ended && !flow.has_responded && flow.response_waiter.is_none()
    }

    /// Forgets what is not needed once nobody waits, and answers the futures to wake: a cycle
    /// through here is one the garbage collector cannot see.
    pub(super) fn give_up(&self) -> Vec<Py<PyAny>> {
        let mut flow = self.flow();
        flow.is_cancelled = true;
        flow.unsent = None;
        let mut waiters = std::mem::take(&mut flow.body_waiters);
        waiters.extend(flow.response_waiter.take());
        waiters.extend(flow.room_waiter.take());
        drop(flow);
        self.changed.notify_all();
        waiters
    }
}
