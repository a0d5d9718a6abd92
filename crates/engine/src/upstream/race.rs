// SPDX-License-Identifier: Apache-2.0
use super::dial::{NotReached, dial};
use super::open::{Place, connect_error};
use crate::downstream::{Downstream, Record};
use crate::snapshot::{BackendPlan, EndpointList};
use crate::thread::Connection;
use smallvec::SmallVec;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tidegate_core::{ErrorKind, Moment};
use tidegate_net::Stream;
use tidegate_request::Request;
use tidegate_tls::Inside;

/// Milliseconds that an address is tried alone before the next one is as well (RFC 8305 §8).
const ALONE_MS: u64 = 250;

/// Several addresses of one server, tried side by side: the first that takes a connection wins, and the
/// others are let go (Happy Eyeballs, RFC 8305 §5).
pub(crate) struct Race<'a> {
    downstream: &'a Downstream,
    plan: &'a BackendPlan,
    list: &'a Arc<EndpointList>,
    until: Option<Moment>,
}

/// An address that is being tried.
struct Runner<'a> {
    place: Place,
    dialing: Pin<Box<dyn Future<Output = Result<Stream, NotReached>> + 'a>>,
}

/// What happens next.
enum Event {
    Ended(usize, Result<Stream, NotReached>),
    Time,
}

type Won = Result<(Place, Connection), (ErrorKind, &'static str)>;

impl<'a> Race<'a> {
    /// Among those of `list`, in their order; `until` bounds it beside what the backend says.
    pub(crate) fn new(
        downstream: &'a Downstream,
        plan: &'a BackendPlan,
        list: &'a Arc<EndpointList>,
        until: Option<Moment>,
    ) -> Self {
        Self {
            downstream,
            plan,
            list,
            until,
        }
    }

    /// Runs it among those that were not `tried`. For a `request` a connection that is kept from before wins
    /// at once.
    ///
    /// # Errors
    /// What connecting came to, last, when no address takes a connection.
    pub(crate) async fn run(
        &self,
        request: Option<&Request>,
        tried: &[u16],
        record: &mut Record,
    ) -> Won {
        let Self { plan, list, .. } = self;
        let thread = &self.downstream.thread;
        if let Some(kept) = request.and_then(|request| self.kept(request, tried)) {
            record.endpoint = Some(kept.0.endpoint.clone());
            record.entry.connected_us = thread.moment().micros_since(record.started).max(1);
            return Ok(kept);
        }
        let started = thread.now();
        let most = started.after_millis(plan.config.timeouts.connect.0);
        let deadline = self.until.map_or(most, |until| until.min(most));
        let left: SmallVec<[u16; 8]> = (0..list.endpoints.len() as u16)
            .filter(|index| !tried.contains(index))
            .collect();
        let mut left = left.into_iter();
        let mut running: SmallVec<[Runner<'_>; 4]> = SmallVec::new();
        let mut last = (
            ErrorKind::DestinationUnavailable,
            "no address is left to try",
        );
        loop {
            let next = left.next();
            match next.map(|index| Place::at(plan, (*list).clone(), usize::from(index))) {
                Some(Ok(place)) => {
                    record.endpoint = Some(place.endpoint.clone());
                    running.push(self.begin(place));
                }
                Some(Err(_)) => {
                    let detail = "the address has as many connections as it may";
                    last = (ErrorKind::ConnectionLimitReached, detail);
                    continue;
                }
                None if running.is_empty() => return Err(last),
                None => {}
            }
            let turn = thread.now().after_millis(ALONE_MS);
            let has_more = left.len() != 0;
            let timer = &self.downstream.timer;
            timer.set(if has_more {
                turn.min(deadline)
            } else {
                deadline
            });
            let event = poll_fn(|cx| {
                for (at, runner) in running.iter_mut().enumerate() {
                    if let Poll::Ready(outcome) = runner.dialing.as_mut().poll(cx) {
                        return Poll::Ready(Event::Ended(at, outcome));
                    }
                }
                timer.poll_expired(cx).map(|()| Event::Time)
            });
            let event = event.await;
            let now = thread.now();
            record.entry.connect_us = now.micros_since(started).max(1);
            record.entry.connected_us = now.micros_since(record.started).max(1);
            match event {
                Event::Ended(at, outcome) => {
                    let place = running.remove(at).place;
                    record.endpoint = Some(place.endpoint.clone());
                    match outcome {
                        Ok(stream) => {
                            let state = place.endpoint.state.clone();
                            let terms = plan.terms_of_tls();
                            return Ok((place, Connection::new(stream, state, terms)));
                        }
                        Err(why) => {
                            last = self.lost(&place, why, record);
                        }
                    }
                }
                Event::Time if now >= deadline => {
                    return Err((ErrorKind::ConnectionTimeout, "connecting took too long"));
                }
                Event::Time => {}
            }
        }
    }

    /// A connection of an earlier request to one of the addresses.
    fn kept(&self, request: &Request, tried: &[u16]) -> Option<(Place, Connection)> {
        let Self { plan, list, .. } = self;
        let thread = &self.downstream.thread;
        let (terms, max_idle) = (plan.terms_of_tls(), plan.max_idle(request));
        let mut all = list.endpoints.iter().enumerate();
        all.find_map(|(index, endpoint)| {
            if tried.contains(&(index as u16)) {
                return None;
            }
            let moment = thread.moment();
            let kept = thread.pool.take(&endpoint.state, terms, moment, max_idle)?;
            let place = Place::at(plan, (*list).clone(), index).ok()?;
            Some((place, kept))
        })
    }

    fn begin(&self, place: Place) -> Runner<'a> {
        let (plan, endpoint) = (self.plan, place.endpoint.clone());
        let targets = place.list.targets.get(place.index);
        let targets = targets.map(|targets| targets.load_full());
        let dialing = Box::pin(async move {
            let mut last = NotReached::Connect(std::io::ErrorKind::AddrNotAvailable.into());
            for target in targets.iter().flat_map(|targets| targets.iter()) {
                let is_shaking = Cell::new(false);
                let address = &endpoint.address;
                match dial(plan, address, target, Inside::Unknown, None, &is_shaking).await {
                    Ok(stream) => return Ok(stream),
                    Err(why) => last = why,
                }
            }
            Err(last)
        });
        Runner { place, dialing }
    }

    /// What is noted of an address that took no connection.
    fn lost(
        &self,
        place: &Place,
        why: NotReached,
        record: &mut Record,
    ) -> (ErrorKind, &'static str) {
        let now = self.downstream.thread.now();
        let error = match why {
            NotReached::Connect(error) => connect_error(&error),
            NotReached::Tls(fault) => place.note_fault(self.plan, now, fault, record),
        };
        // Out of descriptors is our fault, not the endpoint's.
        if error.0 != ErrorKind::ConnectionLimitReached {
            place.failed_after(self.plan, now, 0);
        }
        record.entry.retries = record.entry.retries.saturating_add(1);
        error
    }
}
