// SPDX-License-Identifier: Apache-2.0
use super::call::Call;
use tidegate_functions::WINDOW;

/// A request's body on its way to a worker, as far as the window allows.
pub(crate) struct BodySender {
    bytes: Vec<u8>,
    start: usize,
    /// Whether `bytes` ends the body.
    is_last: bool,
    /// Whether the end was sent.
    is_done: bool,
    room: u32,
}

impl BodySender {
    pub(crate) fn new(bytes: &[u8], is_last: bool) -> Self {
        Self {
            bytes: bytes.to_vec(),
            start: 0,
            is_last,
            is_done: false,
            room: WINDOW,
        }
    }

    /// The worker used up so many bytes.
    pub(crate) fn credit(&mut self, bytes: u32) {
        self.room = self.room.saturating_add(bytes);
    }

    /// Whether more of the body may be read from the client.
    pub(crate) fn wants_more(&self) -> bool {
        !self.is_last && self.start == self.bytes.len() && self.room > 0
    }

    /// Where to put more of it; only when [`Self::wants_more`].
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.start = 0;
        &mut self.bytes
    }

    /// The client has sent all of it.
    pub(crate) fn finish(&mut self) {
        self.is_last = true;
    }

    /// Sends what fits.
    pub(crate) fn send(&mut self, call: &Call) {
        if self.is_done {
            return;
        }
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(self.room as usize));
        let ends = self.is_last && later.is_empty();
        if now.is_empty() && !ends {
            return;
        }
        call.body(now, ends);
        self.room -= now.len() as u32;
        self.start += now.len();
        self.is_done = ends;
    }
}
