// SPDX-License-Identifier: Apache-2.0
use super::driver::STREAMS;
use super::links::Opening;
use super::stream::Stream;
use crate::http2::Shared;
use crate::snapshot::BackendPlan;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tidegate_contract::EndpointState;
use tidegate_core::{ErrorKind, Moment};
use tidegate_http2::{ErrorCode, RequestHead, SendError};
use tidegate_request::FieldRef;
use tidegate_tls::Fault;

/// What a connection was opened under: requests that have other terms do not go on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    tls: u64,
    header_size: u64,
    header_fields: u16,
}

impl Terms {
    pub(super) fn of(plan: &BackendPlan) -> Self {
        let limits = &plan.config.limits;
        Self {
            tls: plan.terms_of_tls(),
            header_size: limits.header_size.0,
            header_fields: limits.header_fields,
        }
    }
}

/// What is known of a connection to an endpoint.
pub(crate) struct Link {
    pub(super) state: Arc<EndpointState>,
    pub(super) terms: Terms,
    /// Whether it is inside of TLS.
    is_secured: bool,
    /// It carries one request, whose client the endpoint was told, and no other.
    is_alone: bool,
    /// Requests that are about to begin.
    reserved: Cell<u32>,
    /// Requests that have begun.
    pub(super) begun: Cell<u64>,
    /// Bytes that have come.
    pub(super) received: Cell<u64>,
    /// The endpoint's SETTINGS have come.
    pub(super) is_greeted: Cell<bool>,
    /// No more requests: it ends with the last it has.
    pub(super) is_ending: Cell<bool>,
    /// A request was answered by nothing in time, and nothing has come on the connection since.
    pub(super) is_suspect: Cell<bool>,
    /// When its last request ended.
    pub(super) idle_since: Cell<Moment>,
    /// Why it is over.
    pub(super) failure: Cell<Option<(ErrorKind, &'static str)>>,
    /// How TLS broke, if it did.
    pub(super) fault: RefCell<Option<Fault>>,
    /// Those who wait until it may be used.
    pub(super) opening: RefCell<Option<Rc<Opening>>>,
}

impl Link {
    pub(super) fn new(
        state: Arc<EndpointState>,
        plan: &BackendPlan,
        now: Moment,
        opening: Option<Rc<Opening>>,
    ) -> Self {
        Self {
            state,
            terms: Terms::of(plan),
            is_secured: plan.tls.is_some(),
            is_alone: plan.config.proxy_protocol.is_some(),
            reserved: Cell::new(0),
            begun: Cell::new(0),
            received: Cell::new(0),
            is_greeted: Cell::new(false),
            is_ending: Cell::new(plan.config.proxy_protocol.is_some()),
            is_suspect: Cell::new(false),
            idle_since: Cell::new(now),
            failure: Cell::new(None),
            fault: RefCell::new(None),
            opening: RefCell::new(opening),
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self.is_secured {
            true => "https",
            false => "http",
        }
    }

    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Why its streams came to nothing.
    pub(super) fn end(&self) -> (ErrorKind, &'static str) {
        self.failure.get().unwrap_or((
            ErrorKind::ConnectionTerminated,
            "the endpoint closed before its response",
        ))
    }
}

impl Shared<Link> {
    /// Whether nothing is under way, nor about to be.
    pub(super) fn is_unused(&self) -> bool {
        self.is_idle() && self.facts.reserved.get() == 0
    }

    /// Whether a request may begin on it that wants one which has not been idle for more than `max_idle_ms`.
    pub(super) fn takes(&self, terms: Terms, now: Moment, max_idle_ms: u64) -> bool {
        let link = &self.facts;
        if link.terms != terms {
            // What was opened under other terms was verified otherwise, or not at all.
            link.is_ending.set(true);
            self.wake_driver();
        }
        let is_open = link.is_greeted.get()
            && !link.is_ending.get()
            && !link.is_suspect.get()
            && !self.is_over();
        let machine = self.machine();
        is_open
            && machine.room() > link.reserved.get()
            && machine.streams() + (link.reserved.get() as usize) < STREAMS as usize
            && machine.has_room_for_head()
            && (!self.is_unused() || now <= link.idle_since.get().after_millis(max_idle_ms))
    }

    /// Takes no more requests, and ends with the last that it has.
    pub(super) fn retire(&self) {
        self.facts.is_ending.set(true);
        self.wake_driver();
    }
}

/// Room for a request that is about to begin.
pub(crate) struct Reserved(Rc<Shared<Link>>);

impl Reserved {
    pub(super) fn new(shared: Rc<Shared<Link>>) -> Self {
        let reserved = &shared.facts.reserved;
        reserved.set(reserved.get() + 1);
        Self(shared)
    }

    /// `http` or `https`.
    pub(in crate::upstream) fn scheme(&self) -> &'static str {
        self.0.facts.scheme()
    }

    /// Whether the endpoint takes extended CONNECT, as far as it has said so by now.
    pub(in crate::upstream) fn takes_protocol(&self) -> bool {
        self.0.machine().takes_protocol()
    }

    /// Begins a request. `ends`: it has no content; `owed`: how much, where that is known.
    ///
    /// # Errors
    /// As [`tidegate_http2::Connection::send_request`] has them.
    pub(in crate::upstream) fn begin<'f>(
        self,
        head: RequestHead<'_>,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
        ends: bool,
        owed: Option<u64>,
    ) -> Result<Stream, SendError> {
        let shared = Rc::clone(&self.0);
        let link = &shared.facts;
        let is_reused = link.begun.get() > 0;
        let is_head = head.method == b"HEAD";
        let is_tunnel = head.protocol.is_some();
        let id = shared.machine().send_request(head, fields, ends)?;
        link.begun.set(link.begun.get() + 1);
        shared.open(id, 0, false);
        let received = link.received.get();
        let inner = crate::http2::Stream::new(shared, id, is_head, ErrorCode::CANCEL);
        inner.has_ended.set(ends);
        inner.owed.set(owed.filter(|_| !ends));
        inner.wrote();
        Ok(Stream::new(inner, is_reused, received, is_tunnel))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let reserved = &self.0.facts.reserved;
        reserved.set(reserved.get().saturating_sub(1));
        if self.0.is_unused() {
            self.0.wake_driver();
        }
    }
}
