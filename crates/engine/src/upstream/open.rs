// SPDX-License-Identifier: Apache-2.0
//! A place at an endpoint, and a connection to it.
use crate::decide::{self, Key, NoEndpoint};
use crate::downstream::{Downstream, Record};
use crate::snapshot::{BackendPlan, BackendShared, EndpointList};
use crate::thread::Connection;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tidegate_contract::{Endpoint, EndpointState, Health};
use tidegate_core::{ErrorKind, Moment};
use tidegate_net::connect;

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

/// A wait counted at its backend.
pub(crate) struct Pending<'a>(&'a BackendShared);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    /// Picks an endpoint that was not tried, waiting for room when all are full.
    ///
    /// # Errors
    /// Why there is none, with a text for the log.
    pub(crate) async fn take(
        downstream: &Downstream,
        plan: &BackendPlan,
        tried: &[u16],
        key: &Key,
        until: Option<Moment>,
    ) -> Result<Self, (ErrorKind, &'static str)> {
        match Self::pick(downstream, plan, tried, key) {
            Ok(place) => return Ok(place),
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
        Self::wait(downstream, plan, tried, key, until).await
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
        let thread = &downstream.thread;
        let list = plan.shared.list.load_full();
        let index = decide::endpoint(
            plan,
            &list,
            thread.now(),
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
        let best = best.filter(|index| busy(index) < plan.endpoint_limit());
        let index = usize::from(*best.ok_or(NoEndpoint::NoRoom)?);
        Self::at(plan, list, index)
    }

    fn at(plan: &BackendPlan, list: Arc<EndpointList>, index: usize) -> Result<Self, NoEndpoint> {
        let endpoint = list
            .endpoints
            .get(index)
            .ok_or(NoEndpoint::Nothing)?
            .clone();
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.state.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            endpoint,
            list,
            index,
            shared: plan.shared.clone(),
        })
    }

    /// Counts a wait at the backend.
    ///
    /// # Errors
    /// As many wait as may.
    pub(crate) fn pending(plan: &BackendPlan) -> Result<Pending<'_>, (ErrorKind, &'static str)> {
        let pending = plan.shared.pending.fetch_add(1, Ordering::Relaxed);
        let counted = Pending(&plan.shared);
        match pending >= plan.config.limits.pending {
            true => Err((
                ErrorKind::ConnectionLimitReached,
                "too many requests wait for this backend",
            )),
            false => Ok(counted),
        }
    }

    async fn wait(
        downstream: &Downstream,
        plan: &BackendPlan,
        tried: &[u16],
        key: &Key,
        until: Option<Moment>,
    ) -> Result<Self, (ErrorKind, &'static str)> {
        let shared = &*plan.shared;
        let counted = Self::pending(plan)?;
        let deadline = downstream
            .thread
            .now()
            .after_millis(plan.config.timeouts.pending.0);
        downstream
            .timer
            .set(until.map_or(deadline, |until| until.min(deadline)));
        loop {
            let mut room = pin!(shared.room.notified());
            // Listens before it looks: room that comes up in between is not missed.
            room.as_mut().enable();
            if let Ok(place) = Self::pick(downstream, plan, tried, key) {
                drop(counted);
                return Ok(place);
            }
            let is_told = poll_fn(|cx| {
                if room.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                downstream.timer.poll_expired(cx).map(|()| false)
            });
            if !is_told.await {
                return Err((ErrorKind::PendingTimeout, "no endpoint had room in time"));
            }
        }
    }

    /// A connection: an idle one if allowed, else a new one.
    ///
    /// # Errors
    /// What connecting came to.
    pub(crate) async fn connect(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        is_safe: bool,
        until: Option<Moment>,
        record: &mut Record,
    ) -> Result<Connection, (ErrorKind, &'static str)> {
        let thread = &downstream.thread;
        let state = &self.endpoint.state;
        let pool = &plan.config.pool;
        let max_idle = if is_safe {
            pool.idle_time
        } else {
            pool.unsafe_idle_time
        };
        let started = thread.now();
        if let Some(connection) = thread.pool.take(state, started, max_idle.0) {
            record.entry.connected_us = started.micros_since(record.started).max(1);
            return Ok(connection);
        }
        let deadline = started.after_millis(plan.config.timeouts.connect.0);
        downstream
            .timer
            .set(until.map_or(deadline, |until| until.min(deadline)));
        let connected = self.dial(downstream, state).await;
        let now = thread.now();
        record.entry.connect_us = now.micros_since(started).max(1);
        record.entry.connected_us = now.micros_since(record.started).max(1);
        connected
    }

    async fn dial(
        &self,
        downstream: &Downstream,
        state: &Arc<EndpointState>,
    ) -> Result<Connection, (ErrorKind, &'static str)> {
        let targets = self
            .list
            .targets
            .get(self.index)
            .map(|targets| targets.load_full());
        let mut last = (ErrorKind::DnsError, "the endpoint's name has no address");
        for target in targets.iter().flat_map(|targets| targets.iter()) {
            let mut attempt = pin!(connect(target));
            let outcome = poll_fn(|cx| match attempt.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => downstream.timer.poll_expired(cx).map(|()| None),
            });
            match outcome.await {
                Some(Ok(stream)) => return Ok(Connection::new(stream, state.clone())),
                Some(Err(error)) => last = connect_error(&error),
                None => return Err((ErrorKind::ConnectionTimeout, "connecting took too long")),
            }
        }
        Err(last)
    }

    /// The endpoint did what was asked of it.
    pub(crate) fn succeeded(&self) {
        if self.endpoint.state.failures.load(Ordering::Relaxed) != 0 {
            self.endpoint.state.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Tells a balancer that asked for it how a try went, `latency_us` after the request was sent.
    pub(crate) fn observe(
        &self,
        plan: &BackendPlan,
        now: Moment,
        latency_us: u64,
        is_failure: bool,
    ) {
        plan.balancer
            .observe(&self.endpoint, latency_us, is_failure, now);
    }

    /// The endpoint failed: passive health may exclude it for a time, unless too many are out.
    pub(crate) fn failed(&self, plan: &BackendPlan, now: Moment) {
        let state = &self.endpoint.state;
        state.failures_total.fetch_add(1, Ordering::Relaxed);
        let failures = state.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let settings = &plan.config.passive_health;
        if !settings.enabled || failures < settings.failures || state.is_excluded(now) {
            return;
        }
        let endpoints = &self.list.endpoints;
        let out = endpoints
            .iter()
            .filter(|other| other.state.is_excluded(now) || other.state.health() == Health::Down)
            .count();
        let allowed = endpoints.len() * usize::from(settings.max_excluded_percent) / 100;
        if out < allowed {
            let until = now.after_millis(settings.exclude_for.0).millis().max(1);
            state.excluded_until.store(until, Ordering::Relaxed);
            state.failures.store(0, Ordering::Relaxed);
            plan.shared.changes.fetch_add(1, Ordering::Release);
        }
    }
}

fn connect_error(error: &io::Error) -> (ErrorKind, &'static str) {
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
