// SPDX-License-Identifier: Apache-2.0
use super::call::{Call, Said, Slot};
use super::told::Told;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tidegate_functions::{Body, Client, RequestParts, TooLarge};
use tidegate_net::{Stream, Target, connect};
use tokio::sync::Notify;

/// Bytes asked of the kernel at once.
const READ: usize = 64 << 10;
/// The same while no call is under way: most connections of a large node are idle.
const READ_IDLE: usize = 4 << 10;
/// Reads in a row before other tasks have their turn.
const READS: usize = 8;
/// A buffer above this is given back once it is empty.
const KEEP: usize = 256 << 10;

/// One connection of this thread to one worker.
///
/// What calls put here leaves in one write when the task of the connection has its turn, so the
/// calls of one turn of the event loop share a system call on both sides.
pub(crate) struct Link {
    state: RefCell<State>,
    changed: Rc<Notify>,
}

#[derive(Default)]
struct State {
    client: Client,
    out: Vec<u8>,
    sent: usize,
    /// Bytes ever handed to the kernel before `out`.
    written: u64,
    slots: HashMap<u32, Rc<Slot>, foldhash::fast::RandomState>,
    /// Settings that the worker knows.
    told: Told,
    driver: Option<Waker>,
    is_over: bool,
    /// Set by a message about the connection itself.
    has_changed: bool,
}

impl State {
    /// Has the task of the connection send what was put into `out`.
    fn wake(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}

impl Link {
    /// Not connected yet; `changed` is told when what the methods below answer changes.
    pub(crate) fn new(changed: Rc<Notify>) -> Self {
        Self {
            state: RefCell::default(),
            changed,
        }
    }

    /// Whether it takes calls: the worker has said that it serves, and nothing against it since.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_been_ready() && !self.is_finished()
    }

    /// Whether it never takes a call again.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.borrow().is_over || self.is_closing()
    }

    /// Whether the worker takes no new calls, and finishes those it has.
    pub(crate) fn is_closing(&self) -> bool {
        self.state.borrow().client.is_closing()
    }

    /// Whether the worker ever said that it serves.
    pub(crate) fn has_been_ready(&self) -> bool {
        self.state.borrow().client.capacity().is_some()
    }

    /// Sees to it that the worker knows `settings`; their number on this connection.
    ///
    /// # Errors
    /// [`TooLarge`] when they do not fit into a frame, or too many are in use.
    pub(crate) fn tell(&self, settings: &Arc<str>) -> Result<u32, TooLarge> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.told.number(settings, &mut state.out)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`TooLarge`] when its head does not fit into a frame.
    pub(crate) fn begin<'f>(
        self: &Rc<Self>,
        parts: &RequestParts<'_>,
        parameters: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: Body<'_>,
    ) -> Result<Call, TooLarge> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let number = state
            .client
            .begin(&mut state.out, parts, parameters, fields, body)?;
        let slot = Rc::new(Slot::new(state.written + state.out.len() as u64));
        state.slots.insert(number, slot.clone());
        state.wake();
        Ok(Call::new(self.clone(), slot, number))
    }

    /// Gives a call up; does nothing for one that is over.
    pub(crate) fn cancel(&self, number: u32) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.slots.remove(&number).is_some() {
            state.client.cancel(&mut state.out, number);
            state.wake();
        }
    }

    /// Lets the worker send so many more bytes of a response's body.
    pub(crate) fn credit(&self, number: u32, bytes: u32) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.client.credit(&mut state.out, number, bytes);
        state.wake();
    }

    /// Sends a piece of a request's body.
    pub(crate) fn body(&self, number: u32, bytes: &[u8], is_last: bool) {
        let mut state = self.state.borrow_mut();
        tidegate_functions::encode_body(&mut state.out, number, bytes, is_last);
        state.wake();
    }

    /// Shows a policy the response.
    ///
    /// # Errors
    /// [`TooLarge`] when the fields do not fit into a frame.
    pub(crate) fn respond<'f>(
        &self,
        number: u32,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), TooLarge> {
        let mut state = self.state.borrow_mut();
        tidegate_functions::encode_response(&mut state.out, number, status, fields)?;
        state.wake();
        Ok(())
    }

    /// Ends the connection at its next turn, whatever is under way.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.is_over = true;
        state.wake();
    }

    /// Connects, and moves frames until the connection ends.
    pub(crate) async fn drive(self: Rc<Self>, path: PathBuf) {
        if let Ok(stream) = connect(&Target::Unix(path)).await {
            poll_fn(|cx| self.poll(cx, &stream)).await;
        }
        self.end();
    }

    /// Ready when the connection is over.
    fn poll(&self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.is_over {
            return Poll::Ready(());
        }
        state.driver = Some(cx.waker().clone());
        for turn in 0..READS {
            if state.write(cx, stream).is_err() {
                return Poll::Ready(());
            }
            let read = if state.slots.is_empty() {
                READ_IDLE
            } else {
                READ
            };
            let room = state.client.space(read);
            match stream.poll_read(cx, room) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => state.client.filled(count),
                Poll::Pending => break,
            }
            // A broken frame cannot be skipped: the next one's place is not known.
            if state.hand_out().is_err() {
                return Poll::Ready(());
            }
            if std::mem::take(&mut state.has_changed) {
                self.changed.notify_waiters();
            }
            if turn + 1 == READS {
                cx.waker().wake_by_ref();
            }
        }
        let is_done = state.client.is_closing() && state.slots.is_empty() && state.out.is_empty();
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Tells every call that is under way.
    fn end(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.is_over = true;
        let reached = state.written + state.sent as u64;
        for lost in state.client.lost() {
            if let Some(slot) = state.slots.remove(&lost.exchange) {
                slot.end(lost.may_have_begun && slot.ends_at() <= reached);
            }
        }
        state.slots.clear();
        self.changed.notify_waiters();
    }
}

impl State {
    fn write(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Result<(), ()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.poll_write(cx, rest) {
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => return Ok(()),
            }
        }
        self.written += self.out.len() as u64;
        self.sent = 0;
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(())
    }

    /// Gives each message to the call it is for.
    fn hand_out(&mut self) -> Result<(), ()> {
        while let Some(event) = self.client.next().map_err(|_| ())? {
            let said = Said::new(event.frame);
            let (exchange, is_last) = (event.exchange, event.is_last);
            self.has_changed |= exchange == 0;
            if let Some(slot) = self.slots.get(&exchange) {
                slot.put(said);
            }
            if is_last {
                self.slots.remove(&exchange);
            }
        }
        Ok(())
    }
}
