// SPDX-License-Identifier: Apache-2.0
//! A place at an endpoint, and a connection to it.
use super::dial::{NotReached, dial, fault_kind};
use super::http2::Reached;
use super::wait::{Wait, Waited};
use crate::decide::{self, Key, NoEndpoint};
use crate::downstream::{Downstream, Record};
use crate::exclusion::exclude;
use crate::snapshot::{BackendPlan, BackendShared, EndpointList};
use crate::thread::{Connection, Thread};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use tidegate_contract::Endpoint;
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::Request;
use tidegate_tls::{Fault, Inside};

/// A request counted at an endpoint for as long as it is under way.
pub(crate) struct Place {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) list: Arc<EndpointList>,
    pub(crate) index: usize,
    shared: Arc<BackendShared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint
            .state
            .in_flight
            .fetch_sub(1, Ordering::Relaxed);
        self.shared.made_room();
    }
}

impl Place {
    /// Picks an endpoint that was not tried, waiting for room when all are full.
    ///
    /// # Errors
    /// Why there is none, with a text for the log.
    pub(crate) async fn take(wait: Wait<'_>) -> Waited {
        let Wait {
            downstream,
            plan,
            tried,
            key,
            ..
        } = wait;
        // Whoever would take any endpoint stands behind those that do.
        let is_in_line = tried.is_empty() && key.session.is_none();
        if is_in_line && !plan.shared.line.is_empty() {
            return wait.in_line().await;
        }
        match Self::pick(downstream, plan, tried, key) {
            Ok(place) => return Ok(place),
            // Its endpoints are being started: one is worth waiting for.
            Err(NoEndpoint::Nothing) if tried.is_empty() && wait.is_worth_it() => {}
            Err(NoEndpoint::Nothing) if plan.shared.list.load().endpoints.is_empty() => {
                return Err((
                    ErrorKind::DestinationUnavailable,
                    "the backend has no endpoints",
                ));
            }
            Err(NoEndpoint::Nothing) => {
                return Err((
                    ErrorKind::DestinationUnavailable,
                    "no endpoint is left to try",
                ));
            }
            Err(NoEndpoint::NoRoom) => {}
        }
        match is_in_line {
            true => wait.in_line().await,
            false => wait.aside().await,
        }
    }

    /// Picks an endpoint that was not tried.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn pick(
        downstream: &Downstream,
        plan: &BackendPlan,
        tried: &[u16],
        key: &Key,
    ) -> Result<Self, NoEndpoint> {
        Self::pick_on(&downstream.thread, plan, tried, key)
    }

    /// Picks an endpoint that was not tried, for whoever `thread` serves.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn pick_on(
        thread: &Thread,
        plan: &BackendPlan,
        tried: &[u16],
        key: &Key,
    ) -> Result<Self, NoEndpoint> {
        let list = plan.shared.list.load_full();
        let index = decide::endpoint(
            plan,
            &list,
            thread.moment(),
            tried,
            key,
            &mut thread.draw.borrow_mut(),
        )?;
        Self::at(plan, list, index)
    }

    /// The one of `indexes` with the fewest requests, well or not.
    ///
    /// # Errors
    /// None of them has room.
    pub(crate) fn least_busy(plan: &BackendPlan, indexes: &[u16]) -> Result<Self, NoEndpoint> {
        let list = plan.shared.list.load_full();
        let busy = |index: &u16| {
            let endpoint = list.endpoints.get(usize::from(*index));
            endpoint.map_or(u32::MAX, |endpoint| {
                endpoint.state.in_flight.load(Ordering::Relaxed)
            })
        };
        let best = indexes.iter().min_by_key(|index| busy(index));
        let best = best.filter(|index| busy(index) < plan.endpoint_limit);
        let index = usize::from(*best.ok_or(NoEndpoint::NoRoom)?);
        Self::at(plan, list, index)
    }

    /// One more at the endpoint of one that is there, which is told apart from it by the way it comes alone: no
    /// limit stands against it.
    pub(crate) fn once_more(
        plan: &BackendPlan,
        list: &Arc<EndpointList>,
        index: usize,
    ) -> Option<Self> {
        let endpoint = list.endpoints.get(index)?.clone();
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            endpoint,
            list: list.clone(),
            index,
            shared: plan.shared.clone(),
        })
    }

    /// The one at `index` of a list.
    ///
    /// # Errors
    /// There is none, or it has no room.
    pub(super) fn at(
        plan: &BackendPlan,
        list: Arc<EndpointList>,
        index: usize,
    ) -> Result<Self, NoEndpoint> {
        let endpoint = list
            .endpoints
            .get(index)
            .ok_or(NoEndpoint::Nothing)?
            .clone();
        let before = endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        if before >= plan.endpoint_limit {
            // Another thread was faster.
            endpoint.state.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(NoEndpoint::NoRoom);
        }
        endpoint.state.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            endpoint,
            list,
            index,
            shared: plan.shared.clone(),
        })
    }

    /// A connection: an idle one if allowed, else a new one.
    ///
    /// # Errors
    /// What connecting came to.
    pub(crate) async fn connect(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        request: &Request,
        until: Option<Moment>,
        record: &mut Record,
    ) -> Result<Reached, (ErrorKind, &'static str)> {
        let thread = &downstream.thread;
        let state = &self.endpoint.state;
        let max_idle = plan.max_idle(request);
        if plan.config.http2 {
            let asked = request.upgrade();
            let is_websocket = asked.is_some_and(|asked| asked.eq_ignore_ascii_case(b"websocket"));
            if asked.is_none() || (is_websocket && plan.tls.is_none()) {
                // On the heap: most requests go over HTTP/1.1, and have no room for it.
                let tunnels = asked.is_some();
                let shared =
                    self.connect_shared(downstream, plan, max_idle, until, record, tunnels);
                return Box::pin(shared).await;
            }
            if plan.tls.is_none() {
                let detail = "no protocol but WebSocket is switched to on HTTP/2";
                return Err((ErrorKind::HttpUpgradeFailed, detail));
            }
        }
        let moment = thread.moment();
        let terms = plan.terms_of_tls();
        // One that was announced is its client's alone.
        if plan.config.proxy_protocol.is_none()
            && let Some(connection) = thread.pool.take(state, terms, moment, max_idle)
        {
            record.entry.connected_us = moment.micros_since(record.started).max(1);
            return Ok(Reached::Whole(connection));
        }
        self.connect_anew(downstream, plan, Inside::Http, until, record)
            .await
            .map(Reached::Whole)
    }

    /// A connection on which nothing was said.
    ///
    /// # Errors
    /// What connecting came to.
    pub(crate) async fn connect_anew(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        inside: Inside,
        until: Option<Moment>,
        record: &mut Record,
    ) -> Result<Connection, (ErrorKind, &'static str)> {
        let thread = &downstream.thread;
        if let Some(limit) = plan.config.limits.total_connections {
            self.make_way(downstream, limit)?;
        }
        let started = thread.now();
        let deadline = started.after_millis(plan.config.timeouts.connect.0);
        downstream
            .timer
            .set(until.map_or(deadline, |until| until.min(deadline)));
        let connected = self.dial(downstream, plan, inside, record).await;
        let now = thread.now();
        record.entry.connect_us = now.micros_since(started).max(1);
        record.entry.connected_us = now.micros_since(record.started).max(1);
        connected
    }

    /// Sees to it that the backend may have one more connection, closing idle ones if need be.
    fn make_way(
        &self,
        downstream: &Downstream,
        limit: u32,
    ) -> Result<(), (ErrorKind, &'static str)> {
        for endpoint in &self.list.endpoints {
            if self.list.connections() < limit {
                return Ok(());
            }
            downstream.thread.pool.forget(&endpoint.state);
            downstream.thread.links.forget(&endpoint.state);
        }
        match self.list.connections() < limit {
            true => Ok(()),
            false => Err((
                ErrorKind::ConnectionLimitReached,
                "the backend has as many connections as it may",
            )),
        }
    }

    async fn dial(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        inside: Inside,
        record: &mut Record,
    ) -> Result<Connection, (ErrorKind, &'static str)> {
        let targets = self
            .list
            .targets
            .get(self.index)
            .map(|targets| targets.load_full());
        let address = &self.endpoint.address;
        let ends = plan.config.proxy_protocol.and_then(|_| downstream.ends());
        let mut last = (ErrorKind::DnsError, "the endpoint's name has no address");
        for target in targets.iter().flat_map(|targets| targets.iter()) {
            let is_shaking = Cell::new(false);
            let attempt = dial(plan, address, target, inside, ends.as_ref(), &is_shaking);
            let mut attempt = pin!(attempt);
            let outcome = poll_fn(|cx| match attempt.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => downstream.timer.poll_expired(cx).map(|()| None),
            });
            match outcome.await {
                Some(Ok(stream)) => {
                    let state = self.endpoint.state.clone();
                    return Ok(Connection::new(stream, state, plan.terms_of_tls()));
                }
                Some(Err(NotReached::Connect(error))) => last = connect_error(&error),
                Some(Err(NotReached::Tls(fault))) => {
                    last = self.note_fault(plan, downstream.thread.now(), fault, record);
                }
                None if is_shaking.get() => {
                    let fault = Fault::timeout();
                    plan.shared.handshakes.count_failed(fault.reason);
                    return Err(self.note_fault(plan, downstream.thread.now(), fault, record));
                }
                None => return Err((ErrorKind::ConnectionTimeout, "connecting took too long")),
            }
        }
        Err(last)
    }

    /// Has the log told why there is no TLS; the client learns the word alone.
    pub(super) fn note_fault(
        &self,
        plan: &BackendPlan,
        now: Moment,
        fault: Fault,
        record: &mut Record,
    ) -> (ErrorKind, &'static str) {
        let handshakes = &plan.shared.handshakes;
        handshakes.tell(&self.endpoint.address, &fault, now);
        let (kind, detail) = fault_kind(&fault);
        record.reason = Some((kind, fault.detail.into()));
        (kind, detail)
    }

    /// The endpoint did what was asked of it.
    pub(crate) fn succeeded(&self) {
        if self.endpoint.state.failures.load(Ordering::Relaxed) != 0 {
            self.endpoint.state.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Tells those that asked for it how a try went, `latency_us` after the request was sent; 0 for
    /// one that was not.
    pub(crate) fn observe(
        &self,
        plan: &BackendPlan,
        now: Moment,
        latency_us: u64,
        is_failure: bool,
    ) {
        plan.balancer
            .observe(&self.endpoint, latency_us, is_failure, now);
        if latency_us == 0 {
            return;
        }
        let state = &self.endpoint.state;
        if plan.config.passive_health.latency.is_some() {
            state.answers.fetch_add(1, Ordering::Relaxed);
            state.answers_us.fetch_add(latency_us, Ordering::Relaxed);
        }
        if let Some(adaptive) = &plan.adaptive
            && adaptive.observe(now, latency_us, self.list.in_flight())
        {
            self.shared.made_room();
        }
    }

    /// The endpoint failed: passive health may exclude it for a time, unless too many are out.
    pub(crate) fn failed(&self, plan: &BackendPlan, now: Moment) {
        let state = &self.endpoint.state;
        state.failures_total.fetch_add(1, Ordering::Relaxed);
        let failures = state.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= plan.config.passive_health.failures
            && let Some(millis) = exclude(plan, &self.list, state, now)
        {
            // The service thread writes it down: this one waits for nobody who reads the log.
            let told = (self.endpoint.address.clone(), millis, failures);
            let excluded = plan.shared.excluded.lock();
            excluded.unwrap_or_else(PoisonError::into_inner).push(told);
        }
    }

    /// The endpoint failed, `latency_us` after the request was sent; 0 for one that was not.
    pub(crate) fn failed_after(&self, plan: &BackendPlan, now: Moment, latency_us: u64) {
        self.failed(plan, now);
        if plan.observes {
            self.observe(plan, now, latency_us, true);
        }
    }

    /// The endpoint answered in full, with this status. The clock is read only for a failure.
    pub(crate) fn answered(&self, plan: &BackendPlan, status: u16, now: impl FnOnce() -> Moment) {
        match plan.config.passive_health.statuses.contains(&status) {
            true => self.failed(plan, now()),
            false => self.succeeded(),
        }
    }
}

impl BackendPlan {
    /// For how many milliseconds a connection may have been idle that `request` is sent on.
    pub(super) fn max_idle(&self, request: &Request) -> u64 {
        let pool = &self.config.pool;
        match request.method_kind().is_safe() {
            true => pool.idle_time.0,
            false => pool.unsafe_idle_time.0,
        }
    }
}

pub(super) fn connect_error(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => (
            ErrorKind::ConnectionRefused,
            "the endpoint refused the connection",
        ),
        io::ErrorKind::TimedOut => (ErrorKind::ConnectionTimeout, "connecting took too long"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => (
            ErrorKind::DestinationUnavailable,
            "the endpoint's address cannot be reached",
        ),
        // ENFILE, EMFILE, ENOMEM, ENOBUFS: a 503, since it is a matter of load and not of a fault.
        _ if matches!(error.raw_os_error(), Some(23 | 24 | 12 | 105)) => (
            ErrorKind::ConnectionLimitReached,
            "out of descriptors or memory",
        ),
        _ => (ErrorKind::ConnectionRefused, "connecting failed"),
    }
}
