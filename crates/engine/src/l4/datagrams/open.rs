// SPDX-License-Identifier: Apache-2.0
//! From the first datagram of somebody to a session.
use super::followed::{Beginning, Followed, Ids};
use super::port::{Key, Port};
use super::session::{Quic, Session, Way};
use crate::decide::{self, NoEndpoint};
use crate::downstream::Seat;
use crate::l4::account::Account;
use crate::l4::plan::Ends;
use crate::memory::Level;
use crate::snapshot::{BackendPlan, ListenerPlan};
use crate::thread::Thread;
use crate::upstream::{MAX_CONNECTS, Place};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tidegate_config::Carried;
use tidegate_core::ErrorKind;
use tidegate_net::{Datagrams, Hello, QuicId, Target};

/// Why there is no session, with a text for the log.
type Failed = (ErrorKind, &'static str);

/// A session for who sent the first datagram, of QUIC by its ClientHello and the identifier that it went to;
/// `None` when there is none to be had, which has been counted.
pub(super) fn open(port: &Port, key: Key, asked: Option<(Hello, QuicId)>) -> Option<Session> {
    let thread = &port.thread;
    let current = thread.current();
    let mut listeners = current.snapshot.listeners.iter();
    let listener = listeners.find(|plan| plan.key == port.key)?;
    let client = key.0.ip();
    let is_trusted = current.snapshot.settings.is_trusted(client);
    let seat = admit(thread, listener, client, is_trusted)?;
    let mut told = account(thread, listener, client);
    let (hello, id) = match asked {
        Some((hello, id)) => (Some(hello), Some(id)),
        None => (None, None),
    };
    told.host = hello.as_ref().and_then(|hello| hello.name.clone());
    let local = || key.1;
    let ends = Ends {
        client,
        local: &local,
        hello: hello.as_ref(),
        chosen: None,
        first: &[],
    };
    let table = &current.snapshot.l4;
    let Some(route) = table.find(&listener.name, Carried::Udp, &ends) else {
        match thread.may_log_handshake() {
            true => told.refused(ErrorKind::DestinationNotFound, "no route takes the session"),
            // Whoever sends what nobody takes may send a lot of it.
            false => thread.stats.count_error(ErrorKind::DestinationNotFound),
        }
        return None;
    };
    told.takes(route);
    let plan = {
        let draw = &mut thread.draw.borrow_mut();
        decide::one_of(&current.snapshot, &route.backends, route.total, draw).cloned()
    };
    let Some(plan) = plan else {
        let why = "the backend is not there";
        told.refused(ErrorKind::ProxyConfigurationError, why);
        return None;
    };
    told.backend = Some(plan.name.clone());
    match reach(thread, &plan, client, &mut told) {
        Ok((place, socket, target)) => {
            told.endpoint = Some(place.endpoint.clone());
            let quic = id.map(|id| {
                let beginning = Beginning {
                    listener: port.key.clone(),
                    route: route.clone(),
                    plan: plan.clone(),
                    list: place.list.clone(),
                    index: place.index,
                    target,
                    host: told.host.clone(),
                };
                Quic {
                    followed: thread.node.passed.follow(beginning),
                    ids: RefCell::new(Ids::from_slice(&[id])),
                }
            });
            let way = Way {
                place,
                plan,
                socket,
                target,
            };
            Some(Session::new(key, seat, told, way, quic))
        }
        Err((kind, why)) => {
            told.refused(kind, why);
            None
        }
    }
}

/// A session more of a connection whose client comes from another address now. Its endpoint sees that as well,
/// by another port of ours, and asks the client to prove it (RFC 9000 §9): whoever only says that he is the
/// client gets no answers of his, and sends none to others.
pub(super) fn go_on(port: &Port, key: Key, followed: Arc<Followed>) -> Option<Session> {
    let thread = &port.thread;
    let current = thread.current();
    let mut listeners = current.snapshot.listeners.iter();
    let listener = listeners.find(|plan| plan.key == port.key)?;
    let client = key.0.ip();
    let is_trusted = current.snapshot.settings.is_trusted(client);
    let seat = admit(thread, listener, client, is_trusted)?;
    let mut told = account(thread, listener, client);
    told.host.clone_from(&followed.host);
    told.takes(&followed.route);
    told.backend = Some(followed.plan.name.clone());
    let place = Place::once_more(&followed.plan, &followed.list, followed.index)?;
    told.endpoint = Some(place.endpoint.clone());
    let socket = match Datagrams::connect(followed.target) {
        Ok(socket) => socket,
        Err(error) => {
            if is_short(&error) {
                thread.stats.count(|stats| &stats.refused_descriptors);
            }
            let why = "the connection's endpoint cannot be reached";
            told.refused(ErrorKind::DestinationUnavailable, why);
            return None;
        }
    };
    let way = Way {
        place,
        plan: followed.plan.clone(),
        socket,
        target: followed.target,
    };
    let ids = RefCell::new(followed.ids());
    Some(Session::new(
        key,
        seat,
        told,
        way,
        Some(Quic { followed, ids }),
    ))
}

/// Whether a session may begin. Where there are as many as may be nobody else's ends for it: who sends
/// from made-up addresses would end everybody's.
fn admit(
    thread: &Rc<Thread>,
    listener: &Arc<ListenerPlan>,
    client: IpAddr,
    is_trusted: bool,
) -> Option<Seat> {
    let (stats, limits) = (&thread.stats, &listener.config.limits);
    stats.count(|stats| &stats.accepted);
    if !listener.admission.admits(client) {
        stats.count(|stats| &stats.refused_client);
        return None;
    }
    if thread.node.memory.level() > Level::Ample {
        stats.count(|stats| &stats.refused_memory);
        return None;
    }
    let burst = limits.connection_burst;
    if let Some(rate) = limits.connection_rate
        && !listener.counted.pace.take(thread.now(), rate, burst)
    {
        stats.count(|stats| &stats.refused_rate);
        return None;
    }
    let per_address = match is_trusted {
        true => 0,
        false => limits.connections_per_address,
    };
    let counted = &listener.counted;
    if !counted.enter(client, limits.connections, per_address) {
        stats.count(|stats| &stats.refused);
        if thread.may_log_handshake() {
            let told = account(thread, listener, client);
            let why = "there are as many sessions as there may be";
            told.refused(ErrorKind::ConnectionLimitReached, why);
        }
        return None;
    }
    let (thread, counted) = (thread.clone(), counted.clone());
    Some(Seat::new(thread, counted, client, per_address))
}

/// What will be said of a session that begins now.
fn account(thread: &Rc<Thread>, listener: &Arc<ListenerPlan>, client: IpAddr) -> Account {
    let number = thread.current().snapshot.number;
    let mut account = Account::new(thread, listener, client, thread.moment(), number);
    account.entry.is_datagrams = true;
    account
}

/// An endpoint, and a socket to it.
fn reach(
    thread: &Thread,
    plan: &Arc<BackendPlan>,
    client: IpAddr,
    told: &mut Account,
) -> Result<(Place, Datagrams, SocketAddr), Failed> {
    let key = decide::connection_key(plan, client);
    let mut tried: SmallVec<[u16; 8]> = SmallVec::new();
    let mut last = None;
    while tried.len() < MAX_CONNECTS {
        let place = match Place::pick_on(thread, plan, &tried, &key) {
            Ok(place) => place,
            Err(error) => return Err(last.unwrap_or_else(|| absent(error))),
        };
        match connect(&place) {
            Ok((socket, target)) => return Ok((place, socket, target)),
            Err(failed) => {
                // Out of descriptors is our fault, not the endpoint's.
                if failed.0 == ErrorKind::ConnectionLimitReached {
                    thread.stats.count(|stats| &stats.refused_descriptors);
                    return Err(failed);
                }
                place.failed(plan, thread.now());
                last = Some(failed);
                tried.push(place.index as u16);
                told.entry.retries = told.entry.retries.saturating_add(1);
            }
        }
    }
    Err(last.unwrap_or_else(|| absent(NoEndpoint::Nothing)))
}

fn absent(error: NoEndpoint) -> Failed {
    match error {
        NoEndpoint::Nothing => (
            ErrorKind::DestinationUnavailable,
            "the backend has no endpoint for it",
        ),
        NoEndpoint::NoRoom => (ErrorKind::PendingTimeout, "no endpoint has room"),
    }
}

fn connect(place: &Place) -> Result<(Datagrams, SocketAddr), Failed> {
    let targets = place.list.targets.get(place.index);
    let targets = targets.map(|targets| targets.load_full());
    let mut last = (ErrorKind::DnsError, "the endpoint's name has no address");
    for target in targets.iter().flat_map(|targets| targets.iter()) {
        let Target::Ip(address) = target else {
            last = (
                ErrorKind::ProxyConfigurationError,
                "the endpoint is a Unix socket, and datagrams go to a port",
            );
            continue;
        };
        match Datagrams::connect(*address) {
            Ok(socket) => return Ok((socket, *address)),
            Err(error) if is_short(&error) => {
                let why = "out of descriptors or memory";
                return Err((ErrorKind::ConnectionLimitReached, why));
            }
            Err(_) => {
                let why = "the endpoint's address cannot be reached";
                last = (ErrorKind::DestinationUnavailable, why);
            }
        }
    }
    Err(last)
}

/// ENFILE, EMFILE, ENOMEM, ENOBUFS.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 12 | 105))
}
