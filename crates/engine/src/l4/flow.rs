// SPDX-License-Identifier: Apache-2.0
//! A connection with an endpoint behind it, and what is told of it.
use super::account::Account;
use crate::downstream::Downstream;
use crate::snapshot::BackendPlan;
use crate::thread::{Buffer, Connection};
use crate::upstream::{Place, Relay, Relayed};
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::{ErrorKind, Moment};

/// Milliseconds after which a client that takes nothing is looked after: one that is gone says so.
const LOOK_MS: u64 = 5000;

/// A connection while bytes go both ways. Dropped before its end, for want of memory or by a defect,
/// it is reset on both sides: a close could pass for the end of what was sent.
pub(super) struct Flow {
    downstream: Box<Downstream>,
    connection: Connection,
    place: Place,
    plan: Arc<BackendPlan>,
    relay: Relay,
    /// How long nothing may move, in milliseconds.
    idle_ms: u64,
    /// When it has lived for too long.
    until: Option<Moment>,
    /// Bytes in and out that the route's counters have.
    counted: (u64, u64),
    held: usize,
    /// `None` once it is over.
    account: Option<Account>,
}

impl Flow {
    pub(super) fn begin(
        mut downstream: Box<Downstream>,
        connection: Connection,
        place: Place,
        plan: Arc<BackendPlan>,
        account: Account,
    ) -> Box<Self> {
        let now = downstream.thread.now();
        let timeouts = account.route.as_ref().map(|route| &route.timeouts);
        let life = timeouts.and_then(|timeouts| timeouts.life);
        let early = std::mem::take(&mut downstream.buffer);
        let flow = Box::new(Self {
            idle_ms: timeouts.map_or(0, |timeouts| timeouts.idle.0),
            until: life.map(|life| account.started.after_millis(life.0)),
            relay: Relay::new(early, Buffer::default(), now),
            counted: (0, 0),
            held: 0,
            downstream,
            connection,
            place,
            plan,
            account: Some(account),
        });
        flow.set_timer();
        flow
    }

    /// Ready when it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (thread, client) = (&self.downstream.thread, &self.downstream.stream);
        let relayed = self.relay.poll(thread, client, &self.connection.stream, cx);
        self.count();
        if let Poll::Ready(relayed) = relayed {
            self.end(relayed);
            return Poll::Ready(());
        }
        self.hold();
        // Set anew when it has come up, and not with each piece.
        while self.downstream.timer.poll_expired(cx).is_ready() {
            if let Some(ended) = self.expired() {
                self.over(ended, None, "");
                return Poll::Ready(());
            }
            self.set_timer();
        }
        Poll::Pending
    }

    /// Adds to the route's counters what has moved since.
    fn count(&mut self) {
        let moved = self.relay.moved();
        let new = (moved.0 - self.counted.0, moved.1 - self.counted.1);
        if new == (0, 0) {
            return;
        }
        self.counted = moved;
        if let Some(account) = &self.account {
            account.stats(|stats| {
                stats.add(|stats| &stats.bytes_in, new.0);
                stats.add(|stats| &stats.bytes_out, new.1);
            });
        }
    }

    /// Says how much memory it holds, and looks after one that holds some.
    fn hold(&mut self) {
        let held = self.relay.held();
        if held != self.held {
            self.held = held;
            self.downstream.holding.hold(held);
            self.set_timer();
        }
    }

    fn set_timer(&self) {
        let idle = self.relay.progress().after_millis(self.idle_ms);
        let mut at = self.until.map_or(idle, |until| until.min(idle));
        if self.held > 0 {
            at = at.min(self.downstream.thread.moment().after_millis(LOOK_MS));
        }
        self.downstream.timer.set(at);
    }

    /// Why it ends now, if it does.
    fn expired(&self) -> Option<&'static str> {
        let now = self.downstream.thread.moment();
        if self.until.is_some_and(|until| now >= until) {
            return Some("life");
        }
        if now >= self.relay.progress().after_millis(self.idle_ms) {
            return Some("idle");
        }
        // Nobody reads while bytes wait for the other side, so that a reset shows to who looks alone.
        if self.held > 0 && self.downstream.stream.is_gone() {
            self.connection.stream.reset_on_close();
            return Some("client_reset");
        }
        if self.held > 0 && self.connection.stream.is_gone() {
            self.downstream.stream.reset_on_close();
            return Some("endpoint_reset");
        }
        None
    }

    fn end(&mut self, relayed: Relayed) {
        match relayed {
            Relayed::Whole | Relayed::Refused(_) => {
                self.place.succeeded();
                self.over("closed", None, "");
            }
            Relayed::ClientReset => {
                self.place.succeeded();
                self.over("client_reset", None, "");
            }
            // Whoever takes connections and throws them away unheard is not well.
            Relayed::EndpointReset if self.relay.is_unanswered() => {
                let now = self.downstream.thread.now();
                self.place.failed(&self.plan, now);
                let detail = "the endpoint reset the connection before it said anything";
                let kind = ErrorKind::ConnectionTerminated;
                self.over("endpoint_reset", Some(kind), detail);
            }
            Relayed::EndpointReset => {
                self.place.succeeded();
                self.over("endpoint_reset", None, "");
            }
        }
    }

    fn over(&mut self, ended: &'static str, error: Option<ErrorKind>, detail: &str) {
        self.relay.end(&self.downstream.thread);
        if let Some(mut account) = self.account.take() {
            (account.entry.bytes_in, account.entry.bytes_out) = self.relay.moved();
            account.entry.error = error;
            account.finish(ended, detail);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.account.is_some() {
            self.downstream.stream.reset_on_close();
            self.connection.stream.reset_on_close();
            self.over("cut", None, "");
        }
    }
}
