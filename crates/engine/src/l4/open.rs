// SPDX-License-Identifier: Apache-2.0
//! From a connection that was let in to one with an endpoint behind it.
use super::account::Account;
use super::flow::Flow;
use super::hello::{read_hello, say_unknown_name};
use super::plan::Ends;
use super::serve::Says;
use crate::decide;
use crate::downstream::{Downstream, Record, Shaken};
use crate::snapshot::BackendPlan;
use crate::thread::{Connection, Turn};
use crate::upstream::{Lost, MAX_CONNECTS, Place, Wait};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::ready;
use tidegate_config::Carried;
use tidegate_core::ErrorKind;
use tidegate_net::Stream;
use tidegate_telemetry::LogEntry;
use tidegate_tls::Inside;

/// Why there is no endpoint, with a text for the log.
type Failed = (ErrorKind, &'static str);

/// Finds the connection's route and gets it to an endpoint; `None` when it came to nothing, which the
/// log has been told, and the client by a reset.
pub(super) async fn open(mut downstream: Box<Downstream>, says: Says) -> Option<Box<Flow>> {
    let thread = downstream.thread.clone();
    let started = thread.moment();
    let (hello, first) = match says {
        Says::Hello => (Some(read_hello(&mut downstream).await?), Vec::new()),
        Says::Anything(first) => {
            shake(&mut downstream).await?;
            (None, first)
        }
    };
    let chosen = downstream.stream.whole().and_then(Stream::protocol);
    let current = thread.current();
    let client = downstream.peer.address();
    let number = current.snapshot.number;
    let mut account = Account::new(&thread, &downstream.listener, client, started, number);
    if let Some(told) = downstream.stream.told() {
        account.entry.tls = told.version;
        account.entry.cipher = told.cipher;
    }
    account.host = hello.as_ref().and_then(|hello| hello.name.clone());
    let local = || downstream.dialled_address();
    let ends = Ends {
        client,
        local: &local,
        hello: hello.as_ref(),
        chosen: chosen.as_deref(),
        first: &first,
    };
    let carries = match hello {
        Some(_) => Carried::Tls,
        None => Carried::Tcp,
    };
    let Some(route) = current
        .snapshot
        .l4
        .find(&downstream.listener.name, carries, &ends)
    else {
        let why = "no route takes the connection";
        if hello.is_some() {
            say_unknown_name(&downstream);
        }
        refuse(&downstream, account, ErrorKind::DestinationNotFound, why);
        return None;
    };
    account.takes(route);
    let plan = {
        let draw = &mut thread.draw.borrow_mut();
        decide::one_of(&current.snapshot, &route.backends, route.total, draw).cloned()
    };
    let Some(plan) = plan else {
        let why = "the backend is not there";
        refuse(
            &downstream,
            account,
            ErrorKind::ProxyConfigurationError,
            why,
        );
        return None;
    };
    account.backend = Some(plan.name.clone());
    let mut record = Record::new(LogEntry::new(client), started);
    let opened = connect(&downstream, &plan, &mut record).await;
    account.endpoint.clone_from(&record.endpoint);
    account.entry.connect_us = record.entry.connect_us;
    account.entry.connected_us = record.entry.connected_us;
    account.entry.retries = record.entry.retries;
    match opened {
        Ok((place, connection)) => Some(Flow::begin(downstream, connection, place, plan, account)),
        Err((kind, detail)) => {
            refuse(&downstream, account, kind, detail);
            None
        }
    }
}

/// There is no endpoint for it: the client is told by a reset.
fn refuse(downstream: &Downstream, account: Account, kind: ErrorKind, detail: &str) {
    downstream.stream.reset_on_close();
    account.refused(kind, detail);
}

/// Shakes hands where TLS ends here; `None` when that came to nothing.
async fn shake(downstream: &mut Downstream) -> Option<()> {
    if !downstream.stream.is_secured() {
        return Some(());
    }
    downstream.begin_handshake();
    let thread = downstream.thread.clone();
    let mut turn = Turn::default();
    let shaken = poll_fn(|cx| {
        ready!(thread.handshakes.poll(&mut turn, cx));
        downstream.poll_handshake(cx)
    });
    match shaken.await {
        Shaken::Done => {
            downstream.praise();
            Some(())
        }
        Shaken::Bare(_) => {
            downstream.blame();
            None
        }
        Shaken::Over => None,
    }
}

/// Tries endpoints until one takes the connection. Nothing was sent, so that another one costs no
/// retry.
async fn connect(
    downstream: &Downstream,
    plan: &Arc<BackendPlan>,
    record: &mut Record,
) -> Result<(Place, Connection), Failed> {
    let key = decide::connection_key(plan, downstream.peer.address());
    let mut tried: SmallVec<[u16; 8]> = SmallVec::new();
    let mut lost = None;
    let mut last = None;
    loop {
        let wait = Wait {
            downstream,
            plan,
            tried: &tried,
            key: &key,
            until: None,
        };
        let place = match Place::take(wait).await {
            Ok(place) => place,
            Err(error) => {
                if let Some(lost) = lost
                    && wait.restarted(lost).await
                {
                    tried.clear();
                    continue;
                }
                return Err(last.unwrap_or(error));
            }
        };
        record.endpoint = Some(place.endpoint.clone());
        match place
            .connect_anew(downstream, plan, Inside::Unknown, None, record)
            .await
        {
            Ok(connection) => {
                let took = record.entry.connect_us;
                let now = downstream.thread.now();
                plan.balancer.observe(&place.endpoint, took, false, now);
                return Ok((place, connection));
            }
            Err((kind, detail)) => {
                let now = downstream.thread.now();
                // Out of descriptors is our fault, not the endpoint's.
                if kind != ErrorKind::ConnectionLimitReached {
                    place.failed_after(plan, now, 0);
                }
                lost = Lost::note(lost, kind, &place, now);
                last = Some((kind, detail));
                tried.push(place.index as u16);
                if tried.len() >= MAX_CONNECTS && plan.config.start_wait.is_none() {
                    return Err((kind, detail));
                }
                record.entry.retries = record.entry.retries.saturating_add(1);
            }
        }
    }
}
