// SPDX-License-Identifier: Apache-2.0
//! What follows a `101 Switching Protocols`: bytes, both ways, unread; but messages of a WebSocket are
//! followed, so that its end can be said between two of them.
use super::carrier::Carrier;
use super::messages::{GOING_AWAY, PING, TOO_BIG, close};
use super::relay::{Relay, Relayed};
use crate::downstream::Downstream;
use crate::egress::{Lanes, Paced};
use crate::thread::Buffer;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tidegate_config::WebSocket;
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::Reject;

/// How long the last words may take.
const FAREWELL_MS: u64 = 1000;

/// How long a tunnel may live, and what holds inside of it.
pub(crate) struct Terms {
    /// Nothing may move for so long.
    pub(crate) idle_ms: u64,
    /// When it ends at the latest.
    pub(crate) until: Option<Moment>,
    /// What was switched to has messages.
    pub(crate) is_websocket: bool,
    /// The most that a message of its client may hold.
    pub(crate) message_size: Option<u64>,
    /// How long its client may be silent before it is asked whether it is there.
    pub(crate) ping_ms: Option<u64>,
}

impl Terms {
    /// Those of bytes that mean nothing here.
    pub(crate) fn bare(idle_ms: u64, until: Option<Moment>) -> Self {
        Self {
            idle_ms,
            until,
            is_websocket: false,
            message_size: None,
            ping_ms: None,
        }
    }

    /// The same for what has messages.
    pub(super) fn with_messages(self, websocket: Option<&WebSocket>) -> Self {
        let message_size = websocket.and_then(|terms| Some(terms.message_size?.0));
        let ping_ms = websocket.and_then(|terms| Some(terms.ping?.0));
        Self {
            is_websocket: true,
            message_size,
            ping_ms,
            ..self
        }
    }
}

/// How a tunnel came to its end.
pub(crate) enum End {
    /// A side ended it.
    Relayed(Relayed),
    /// It is time.
    Late,
    /// The gateway ends.
    Leaving,
    /// The client does not answer.
    Silent,
}

/// Whether the client of a WebSocket is still there.
struct Pulse {
    every_ms: u64,
    /// When it was heard or asked last.
    since: Moment,
    bytes: u64,
    is_asked: bool,
}

impl Pulse {
    /// When something is to be done, if the client has sent `bytes` by now.
    fn due(&mut self, bytes: u64, now: Moment) -> Moment {
        if bytes != self.bytes {
            (self.bytes, self.since, self.is_asked) = (bytes, now, false);
        }
        self.since.after_millis(self.every_ms)
    }
}

/// Bytes between a client and an endpoint that have left HTTP.
pub(crate) struct Tunnel {
    relay: Relay,
    carrier: Carrier,
    terms: Terms,
    pulse: Option<Pulse>,
}

impl Tunnel {
    /// Begins with what each side has sent already.
    pub(crate) fn new(
        downstream: &mut Downstream,
        carrier: Carrier,
        from_endpoint: Buffer,
        terms: Terms,
    ) -> Self {
        let early = std::mem::take(&mut downstream.buffer);
        let now = downstream.thread.now();
        let mut relay = Relay::new(early, from_endpoint, now);
        if terms.is_websocket {
            relay.follow_messages(terms.message_size);
        }
        let pulse = terms.ping_ms.map(|every_ms| Pulse {
            every_ms,
            since: now,
            bytes: 0,
            is_asked: false,
        });
        Self {
            relay,
            carrier,
            terms,
            pulse,
        }
    }

    /// Bytes of memory that wait to be passed on.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.relay.held()
    }

    /// Passes on what there is; ready when both sides have closed, or the terms end it.
    #[inline]
    pub(crate) fn poll(&mut self, downstream: &Downstream, cx: &mut Context<'_>) -> Poll<End> {
        let (thread, client) = (&downstream.thread, &downstream.stream);
        let lanes = downstream.lanes.as_deref();
        loop {
            let relayed = match lanes {
                None => self.relay.poll(thread, client, &self.carrier, cx),
                Some(_) => {
                    let wire = client;
                    let paced = Paced { wire, lanes };
                    self.relay.poll(thread, &paced, &self.carrier, cx)
                }
            };
            if let Poll::Ready(relayed) = relayed {
                return Poll::Ready(End::Relayed(relayed));
            }
            let now = thread.moment();
            if lanes.is_some_and(Lanes::holds_back) {
                self.relay.hold_back(now);
            }
            let idle = self.relay.progress().after_millis(self.terms.idle_ms);
            let mut next = self.terms.until.map_or(idle, |until| until.min(idle));
            if next < now {
                return Poll::Ready(End::Late);
            }
            if self.terms.is_websocket && thread.leaves.get() {
                return Poll::Ready(End::Leaving);
            }
            if let Some(pulse) = &mut self.pulse {
                let mut due = pulse.due(self.relay.heard(), now);
                if due < now {
                    if pulse.is_asked {
                        return Poll::Ready(End::Silent);
                    }
                    // Inside of a message it is put off: what moves then is news of the client.
                    pulse.is_asked = self.relay.say_to_client(thread, PING);
                    pulse.since = now;
                    if pulse.is_asked {
                        continue;
                    }
                    due = pulse.due(self.relay.heard(), now);
                }
                next = next.min(due);
            }
            downstream.timer.set(next);
            if downstream.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ends it. Returns bytes from and to the client, and why it was ended, if that is anybody's fault.
    pub(crate) async fn end(
        &mut self,
        downstream: &Downstream,
        end: &End,
    ) -> ((u64, u64), Option<Reject>) {
        let fault = self.say_end(downstream, end).await;
        self.relay.end(&downstream.thread);
        (self.relay.moved(), fault)
    }

    /// Tells both sides of a WebSocket why it ends, where that is not their own doing.
    async fn say_end(&mut self, downstream: &Downstream, end: &End) -> Option<Reject> {
        let (code, fault) = match end {
            End::Relayed(Relayed::Refused(code)) => (*code, Some(refusal(*code))),
            End::Relayed(_) => return None,
            End::Late | End::Leaving => (GOING_AWAY, None),
            End::Silent => {
                let kind = ErrorKind::ClientGone;
                let fault = Reject::new(kind, "the client answers no ping");
                (GOING_AWAY, Some(fault))
            }
        };
        if !self.terms.is_websocket {
            return fault;
        }
        let thread = &downstream.thread;
        let mask = thread.draw.borrow_mut().below(1 << 32);
        self.relay.say_to_client(thread, &close(code, None));
        let farewell = close(GOING_AWAY, u32::try_from(mask).ok());
        self.relay.say_to_endpoint(thread, &farewell);
        let timer = &downstream.timer;
        timer.set(thread.now().after_millis(FAREWELL_MS));
        poll_fn(|cx| {
            let client = &downstream.stream;
            if self.relay.poll_flush(client, &self.carrier, cx).is_ready() {
                return Poll::Ready(());
            }
            timer.poll_expired(cx)
        })
        .await;
        fault
    }
}

fn refusal(code: u16) -> Reject {
    if code == TOO_BIG {
        let detail = "a message is beyond `websocket.message_size`";
        return Reject::new(ErrorKind::RequestBodySize, detail);
    }
    let detail = "what came on the WebSocket is no message";
    Reject::new(ErrorKind::HttpRequestError, detail)
}
