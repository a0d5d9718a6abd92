// SPDX-License-Identifier: Apache-2.0
//! A connection among others: those of its listener, and those of its client's address.
use super::connection::Downstream;
use crate::snapshot::Counted;
use crate::thread::Thread;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// The place of a connection, or of a session of UDP, among its listener's, given back when it is dropped.
pub(crate) struct Seat {
    pub(crate) thread: Rc<Thread>,
    counted: Arc<Counted>,
    address: IpAddr,
    /// The limit by which it was counted in; 0 for who is trusted.
    per_address: u32,
}

impl Seat {
    /// That of one that was counted in by its listener, `per_address` being the limit.
    pub(crate) fn new(
        thread: Rc<Thread>,
        counted: Arc<Counted>,
        address: IpAddr,
        per_address: u32,
    ) -> Self {
        thread.connections.set(thread.connections.get() + 1);
        Self {
            thread,
            counted,
            address,
            per_address,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.counted.leave(self.address, self.per_address);
        let connections = &self.thread.connections;
        connections.set(connections.get().saturating_sub(1));
    }
}

impl Downstream {
    /// The connection is good for something.
    pub(crate) fn praise(&mut self) {
        if !std::mem::replace(&mut self.is_used, true)
            && let Some(seat) = &self.seat
        {
            self.thread.suspects.praise(seat.address);
        }
    }

    /// Notes that the connection came to nothing by its client's doing, unless that is one who is trusted.
    pub(crate) fn blame(&self) {
        if let Some(seat) = self.seat.as_ref().filter(|seat| seat.per_address > 0) {
            let now = self.thread.moment();
            let suspects = &self.thread.suspects;
            suspects.blame(seat.address, self.is_used, now);
        }
    }

    /// The same for one that shook hands and asked nothing.
    pub(super) fn blame_if_unused(&self) {
        if !self.is_used && self.stream.is_secured() {
            self.blame();
        }
    }

    /// Whether too many connections of its client's came to nothing.
    pub(crate) fn is_suspect(&self) -> bool {
        let seat = self.seat.as_ref().filter(|seat| seat.per_address > 0);
        let suspects = &self.thread.suspects;
        seat.is_some_and(|seat| suspects.has(seat.address, self.thread.moment()))
    }
}
