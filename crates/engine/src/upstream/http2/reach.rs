// SPDX-License-Identifier: Apache-2.0
use super::driver::start;
use super::link::{Reserved, Terms};
use super::links::{Found, Opening, Standing};
use crate::downstream::{Downstream, Record};
use crate::snapshot::BackendPlan;
use crate::thread::Connection;
use crate::upstream::open::Place;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tidegate_core::{ErrorKind, Moment};
use tidegate_net::Stream;
use tidegate_tls::Inside;

/// What a request can be sent on.
pub(crate) enum Reached {
    /// A connection of HTTP/1.1.
    Whole(Connection),
    /// A place on one of HTTP/2.
    Shared(Reserved),
}

type Why = (ErrorKind, &'static str);

impl Place {
    /// As [`Self::connect`], where HTTP/2 may be spoken. With `tunnels` it is spoken with an endpoint that takes
    /// extended CONNECT (RFC 8441 §3), which its SETTINGS say.
    pub(in crate::upstream) async fn connect_shared(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        max_idle_ms: u64,
        until: Option<Moment>,
        record: &mut Record,
        tunnels: bool,
    ) -> Result<Reached, Why> {
        let deadline = self.deadline(downstream, plan, until);
        let reached = self.reach(downstream, plan, max_idle_ms, until, record);
        let (reached, opening) = reached.await?;
        if !tunnels {
            return Ok(reached);
        }
        if let Some(opening) = opening {
            wait(downstream, &opening, deadline).await?;
        }
        match &reached {
            Reached::Shared(reserved) if reserved.takes_protocol() => Ok(reached),
            _ => Err((
                ErrorKind::HttpUpgradeFailed,
                "the endpoint takes no WebSocket on HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441)",
            )),
        }
    }

    /// When connecting takes too long.
    fn deadline(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        until: Option<Moment>,
    ) -> Moment {
        let connect = plan.config.timeouts.connect.0;
        let deadline = downstream.thread.now().after_millis(connect);
        until.map_or(deadline, |until| until.min(deadline))
    }

    /// What a request can be sent on, and what tells when the endpoint's SETTINGS have come, if they have not.
    async fn reach(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        max_idle_ms: u64,
        until: Option<Moment>,
        record: &mut Record,
    ) -> Result<(Reached, Option<Rc<Opening>>), Why> {
        let thread = &downstream.thread;
        let state = &self.endpoint.state;
        let deadline = self.deadline(downstream, plan, until);
        // One that was announced is its client's alone.
        if plan.config.proxy_protocol.is_some() {
            return self.open(downstream, plan, until, record).await;
        }
        loop {
            let now = thread.now();
            match thread.links.find(state, Terms::of(plan), now, max_idle_ms) {
                Found::Room(reserved) => {
                    record.entry.connected_us = now.micros_since(record.started).max(1);
                    return Ok((Reached::Shared(reserved), None));
                }
                Found::Plain => {
                    let terms = plan.terms_of_tls();
                    if let Some(connection) = thread.pool.take(state, terms, now, max_idle_ms) {
                        record.entry.connected_us = now.micros_since(record.started).max(1);
                        return Ok((Reached::Whole(connection), None));
                    }
                    return self.open(downstream, plan, until, record).await;
                }
                Found::Soon(waiter) => {
                    wait(downstream, &waiter.0, deadline).await?;
                }
                Found::Nothing(opener) => {
                    let inside = Inside::AnyHttp;
                    let connected = self.connect_anew(downstream, plan, inside, until, record);
                    let connection = match connected.await {
                        Ok(connection) => connection,
                        Err((kind, detail)) => {
                            opener.fail(kind, detail);
                            return Err((kind, detail));
                        }
                    };
                    if !is_http2(plan, &connection.stream) {
                        thread.links.note_plain(state, true);
                        return Ok((Reached::Whole(connection), None));
                    }
                    let opening = opener.hand_over();
                    let reached = self.share(downstream, plan, connection, opening.clone());
                    return Ok((reached, opening));
                }
            }
        }
    }

    /// Opens a connection for which nobody else waits.
    async fn open(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        until: Option<Moment>,
        record: &mut Record,
    ) -> Result<(Reached, Option<Rc<Opening>>), Why> {
        let inside = Inside::AnyHttp;
        let connected = self.connect_anew(downstream, plan, inside, until, record);
        let connection = connected.await?;
        if !is_http2(plan, &connection.stream) {
            return Ok((Reached::Whole(connection), None));
        }
        let opening = Some(Rc::new(Opening::new(Terms::of(plan))));
        let reached = self.share(downstream, plan, connection, opening.clone());
        Ok((reached, opening))
    }

    /// Begins HTTP/2 on a connection.
    fn share(
        &self,
        downstream: &Downstream,
        plan: &BackendPlan,
        connection: Connection,
        opening: Option<Rc<Opening>>,
    ) -> Reached {
        let thread = &downstream.thread;
        let state = self.endpoint.state.clone();
        thread.links.note_plain(&state, false);
        let link = start(thread, connection, state, plan, opening);
        if !link.facts.is_alone() {
            thread.links.add(Rc::clone(&link));
        }
        Reached::Shared(Reserved::new(link))
    }
}

/// Whether HTTP/2 is spoken on a new connection: in TLS where it was chosen, else by prior knowledge.
pub(crate) fn is_http2(plan: &BackendPlan, stream: &Stream) -> bool {
    plan.config.http2 && (plan.tls.is_none() || stream.told().is_some_and(|told| told.is_http2))
}

impl BackendPlan {
    /// What its endpoints are asked for inside of TLS.
    pub(crate) fn http(&self) -> Inside {
        match self.config.http2 {
            true => Inside::AnyHttp,
            false => Inside::Http,
        }
    }
}

/// Waits for a connection that another opens, until it may be looked for again.
async fn wait(downstream: &Downstream, opening: &Opening, deadline: Moment) -> Result<(), Why> {
    let mut told = pin!(opening.told.notified());
    told.as_mut().enable();
    if matches!(opening.standing(), Standing::UnderWay) {
        downstream.timer.set(deadline);
        let is_told = poll_fn(|cx| match told.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => downstream.timer.poll_expired(cx).map(|()| false),
        });
        if !is_told.await {
            return Err((ErrorKind::ConnectionTimeout, "connecting took too long"));
        }
    }
    match opening.standing() {
        Standing::Failed(kind, detail) => Err((kind, detail)),
        Standing::Over | Standing::UnderWay => Ok(()),
    }
}
