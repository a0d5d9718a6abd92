// SPDX-License-Identifier: Apache-2.0
//! Copies of requests for another backend. Nothing waits for them: a copy is made from what the real
//! request has sent anyway, goes its own way in a task of its own, and its answer is thrown away.
use super::dial::{NotReached, dial};
use super::http2::{ask_once, is_http2};
use super::open::Place;
use crate::decide;
use crate::downstream::{Downstream, Journey};
use crate::memory::Level;
use crate::snapshot::{BackendPlan, RoutePlan};
use crate::thread::{Connection, Thread};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tidegate_config::{HostField, Mirror};
use tidegate_contract::Exchange;
use tidegate_core::Draw;
use tidegate_http::{Forwarding, encode_request};
use tidegate_net::Announced;
use tidegate_request::Framing;
use tidegate_telemetry::Mirrored;
use tidegate_tls::Fault;

/// Bytes of an answer that are read at a time.
const READ: usize = 16 << 10;

/// Where a route's copies go.
pub(crate) struct MirrorPlan {
    pub(crate) config: Mirror,
    /// Copies that hold a place, on all threads.
    under_way: Arc<AtomicU32>,
}

impl MirrorPlan {
    pub(crate) fn new(config: Mirror) -> Self {
        Self {
            config,
            under_way: Arc::default(),
        }
    }
}

/// A copy counted among those under way.
struct UnderWay(Arc<AtomicU32>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One copy: the bytes as they will be sent, complete once the body is.
pub(crate) struct MirrorCopy {
    bytes: Vec<u8>,
    /// Bytes of the body, framing included, that may still come.
    room: usize,
    timeout: Duration,
    plan: Arc<BackendPlan>,
    place: Place,
    /// Whose request it is a copy of, for endpoints that are told.
    ends: Option<Announced>,
    route: Arc<RoutePlan>,
    _under_way: UnderWay,
}

/// Begins a copy of the request if it is drawn; `body` is what was read of its content, framed.
/// What is still to come has to be added by the upload, which sends the copy when all of it came.
#[inline]
pub(crate) fn begin(
    downstream: &Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    body: &[u8],
) {
    let route = journey.routed.route;
    let Some(mirror) = &route.mirror else { return };
    let is_drawn = is_drawn(
        mirror.config.percent,
        &mut downstream.thread.draw.borrow_mut(),
    );
    if !is_drawn || exchange.request.upgrade().is_some() {
        return;
    }
    let is_whole = journey.upload.is_done;
    match copy(downstream, journey, exchange, mirror, body) {
        Ok(copy) if is_whole => copy.send(&downstream.thread),
        Ok(copy) => journey.upload.copy = Some(Box::new(copy)),
        Err(outcome) => count(&downstream.thread, route, outcome),
    }
}

/// Whether this one is among the `percent` of all that are copied.
fn is_drawn(percent: u8, draw: &mut Draw) -> bool {
    draw.below(100) < u64::from(percent)
}

fn copy(
    downstream: &Downstream,
    journey: &Journey<'_>,
    exchange: &mut Exchange,
    mirror: &MirrorPlan,
    body: &[u8],
) -> Result<MirrorCopy, Mirrored> {
    let thread = &downstream.thread;
    let room = usize::try_from(mirror.config.body_size.0).unwrap_or(usize::MAX);
    let framing = match &exchange.body {
        Some(body) if journey.upload.framing() != Framing::None => {
            Framing::Length(body.len() as u64)
        }
        _ => journey.upload.framing(),
    };
    let is_longer =
        matches!(framing, Framing::Length(length) if length > mirror.config.body_size.0);
    let Some(room) = room.checked_sub(body.len()).filter(|_| !is_longer) else {
        return Err(Mirrored::TooLarge);
    };
    let under_way = UnderWay(mirror.under_way.clone());
    let before = mirror.under_way.fetch_add(1, Ordering::Relaxed);
    if before >= mirror.config.concurrency || thread.node.memory.level() > Level::Ample {
        return Err(Mirrored::Limit);
    }
    let snapshot = &journey.current.snapshot;
    let plan = snapshot
        .backends
        .get(mirror.config.to.as_str())
        .ok_or(Mirrored::Failed)?;
    let key = decide::key(plan, &exchange.request, exchange.client.address);
    let place = Place::pick(downstream, plan, &[], &key).map_err(|_| Mirrored::Failed)?;
    let told = exchange.request.authority().to_owned();
    if plan.config.host == HostField::Endpoint {
        let _ = exchange
            .request
            .set_authority(plan.authority(&place.endpoint.address).as_bytes());
    }
    let pseudonym = &snapshot.settings.config.name;
    let forwarding = Forwarding {
        client: &downstream.peer_text,
        pseudonym,
        is_anonymous: false,
        to_proxy: None,
        prefix: journey.prefix(),
        request_id: &exchange.request_id,
        framing,
        passes_expect: false,
    };
    let mut bytes = Vec::with_capacity(1024 + body.len());
    encode_request(&mut bytes, &exchange.request, &forwarding);
    if plan.config.host == HostField::Endpoint {
        // The real request goes on with what it had.
        let _ = exchange.request.set_authority(told.as_bytes());
    }
    // Over the empty line that ends the head.
    bytes.truncate(bytes.len().saturating_sub(2));
    bytes.extend_from_slice(
        format!("X-Mirrored-By: {pseudonym}\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    bytes.extend_from_slice(body);
    Ok(MirrorCopy {
        bytes,
        room,
        timeout: Duration::from_millis(mirror.config.timeout.0),
        plan: plan.clone(),
        place,
        ends: plan.config.proxy_protocol.and_then(|_| downstream.ends()),
        route: journey.routed.route.clone(),
        _under_way: under_way,
    })
}

impl MirrorCopy {
    /// Adds a piece of the body, framed; `None` when that is more than is copied.
    pub(crate) fn add(mut self: Box<Self>, thread: &Thread, piece: &[u8]) -> Option<Box<Self>> {
        let Some(room) = self.room.checked_sub(piece.len()) else {
            count(thread, &self.route, Mirrored::TooLarge);
            return None;
        };
        self.room = room;
        self.bytes.extend_from_slice(piece);
        Some(self)
    }

    /// Sends it, whatever becomes of the real request.
    pub(crate) fn send(self, thread: &Rc<Thread>) {
        let thread = thread.clone();
        tokio::task::spawn_local(async move {
            let answered = tokio::time::timeout(self.timeout, self.exchange(&thread)).await;
            let outcome = match answered {
                Ok(Ok(())) => {
                    self.place.succeeded();
                    Mirrored::Sent
                }
                outcome => {
                    let now = thread.now();
                    if let Ok(Err(error)) = &outcome
                        && let Some(fault) =
                            error.get_ref().and_then(|why| why.downcast_ref::<Fault>())
                    {
                        let address = &self.place.endpoint.address;
                        self.plan.shared.handshakes.tell(address, fault, now);
                    }
                    self.place.failed(&self.plan, now);
                    Mirrored::Failed
                }
            };
            count(&thread, &self.route, outcome);
        });
    }

    /// Sends all and reads the answer to its end.
    async fn exchange(&self, thread: &Thread) -> io::Result<()> {
        let connection = self.dial().await?;
        let stream = &connection.stream;
        if is_http2(&self.plan, stream) {
            let answered = ask_once(stream, &self.bytes, thread.now(), 0, |_| false);
            return answered.await.map(drop);
        }
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let sent = poll_fn(|cx| stream.poll_write(cx, rest)).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        let mut buffer = vec![0; READ];
        let mut is_answered = false;
        loop {
            match poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await {
                Ok(0) if is_answered => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => is_answered = true,
                // Nobody reads the answer: that its end was not said inside of TLS hurts nobody.
                Err(error) if is_answered && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn dial(&self) -> io::Result<Connection> {
        let place = &self.place;
        let targets = place.list.targets.get(place.index);
        let targets = targets.map(|targets| targets.load_full());
        let mut last = io::ErrorKind::NotFound.into();
        for target in targets.iter().flat_map(|targets| targets.iter()) {
            let address = &place.endpoint.address;
            match dial(
                &self.plan,
                address,
                target,
                self.plan.http(),
                self.ends.as_ref(),
                &Cell::default(),
            )
            .await
            {
                Ok(stream) => {
                    let (state, terms) = (place.endpoint.state.clone(), self.plan.terms_of_tls());
                    return Ok(Connection::new(stream, state, terms));
                }
                Err(NotReached::Connect(error)) => last = error,
                Err(NotReached::Tls(fault)) => last = io::Error::other(fault),
            }
        }
        Err(last)
    }
}

fn count(thread: &Thread, route: &RoutePlan, outcome: Mirrored) {
    if let Some(stats) = route.stats.of(thread.index) {
        stats.count_mirrored(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::is_drawn;
    use tidegate_core::Draw;

    #[test]
    fn the_share_is_within_four_standard_errors() {
        let text = std::env::var("TIDEGATE_SEED").unwrap_or_else(|_| "20260101".into());
        let seed: u64 = text.parse().unwrap();
        println!("TIDEGATE_SEED={seed}");
        for percent in [0, 1, 30, 99, 100] {
            let mut draw = Draw::from_seed(seed);
            let drawn = (0..100_000)
                .filter(|_| is_drawn(percent, &mut draw))
                .count();
            let share = f64::from(percent) / 100.0;
            let error = (100_000.0 * share * (1.0 - share)).sqrt();
            let off = (drawn as f64 - 100_000.0 * share).abs();
            assert!(off <= 4.0 * error, "seed {seed}: {drawn} at {percent} %");
        }
    }
}
