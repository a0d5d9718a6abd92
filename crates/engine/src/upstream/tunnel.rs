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
use std::task::Poll;
use tidegate_config::WebSocket;
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::Reject;

/// How long the last words may take.
const FAREWELL_MS: u64 = 1000;

/// How long a tunnel may live, and what holds inside of it.
pub(crate) struct Terms<'a> {
    /// Nothing may move for so long.
    pub(crate) idle_ms: u64,
    /// When it ends at the latest.
    pub(crate) until: Option<Moment>,
    /// What is asked of a WebSocket's messages.
    pub(crate) websocket: Option<&'a WebSocket>,
    /// What was switched to has messages.
    pub(crate) is_websocket: bool,
}

/// How a tunnel came to its end.
enum End {
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

/// Relays until both sides have closed, or `terms` end it. Returns bytes from and to the client, and
/// why it was ended, if that is anybody's fault.
pub(crate) async fn tunnel(
    downstream: &mut Downstream,
    carrier: &Carrier,
    from_endpoint: Buffer,
    terms: &Terms<'_>,
) -> ((u64, u64), Option<Reject>) {
    let early = std::mem::take(&mut downstream.buffer);
    let now = downstream.thread.now();
    let mut relay = Relay::new(early, from_endpoint, now);
    if terms.is_websocket {
        relay.follow_messages(
            terms
                .websocket
                .and_then(|terms| Some(terms.message_size?.0)),
        );
    }
    let ping = terms.websocket.and_then(|terms| terms.ping);
    let mut pulse = ping.filter(|_| terms.is_websocket).map(|ping| Pulse {
        every_ms: ping.0,
        since: now,
        bytes: 0,
        is_asked: false,
    });
    let end = poll_fn(|cx| {
        let thread = &downstream.thread;
        let lanes = downstream.lanes.as_deref();
        loop {
            let client = &downstream.stream;
            let polled = match lanes {
                None => relay.poll(thread, client, carrier, cx),
                Some(_) => {
                    let paced = Paced {
                        wire: client,
                        lanes,
                    };
                    relay.poll(thread, &paced, carrier, cx)
                }
            };
            if let Poll::Ready(relayed) = polled {
                return Poll::Ready(End::Relayed(relayed));
            }
            let now = thread.moment();
            if lanes.is_some_and(Lanes::holds_back) {
                relay.hold_back(now);
            }
            let idle = relay.progress().after_millis(terms.idle_ms);
            let mut next = terms.until.map_or(idle, |until| until.min(idle));
            if next < now {
                return Poll::Ready(End::Late);
            }
            if terms.is_websocket && thread.leaves.get() {
                return Poll::Ready(End::Leaving);
            }
            if let Some(pulse) = &mut pulse {
                let mut due = pulse.due(relay.heard(), now);
                if due < now {
                    if pulse.is_asked {
                        return Poll::Ready(End::Silent);
                    }
                    // Inside of a message it is put off: what moves then is news of the client.
                    pulse.is_asked = relay.say_to_client(thread, PING);
                    pulse.since = now;
                    if pulse.is_asked {
                        continue;
                    }
                    due = pulse.due(relay.heard(), now);
                }
                next = next.min(due);
            }
            downstream.timer.set(next);
            if downstream.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    let fault = say_end(downstream, carrier, &mut relay, &end, terms).await;
    relay.end(&downstream.thread);
    (relay.moved(), fault)
}

/// Tells both sides of a WebSocket why it ends, where that is not their own doing.
async fn say_end(
    downstream: &mut Downstream,
    carrier: &Carrier,
    relay: &mut Relay,
    end: &End,
    terms: &Terms<'_>,
) -> Option<Reject> {
    let (code, fault) = match end {
        End::Relayed(Relayed::Refused(code)) => (*code, Some(refusal(*code))),
        End::Relayed(_) => return None,
        End::Late | End::Leaving => (GOING_AWAY, None),
        End::Silent => {
            let kind = ErrorKind::ClientGone;
            (
                GOING_AWAY,
                Some(Reject::new(kind, "the client answers no ping")),
            )
        }
    };
    if !terms.is_websocket {
        return fault;
    }
    let thread = &downstream.thread;
    let mask = thread.draw.borrow_mut().below(1 << 32);
    relay.say_to_client(thread, &close(code, None));
    relay.say_to_endpoint(thread, &close(GOING_AWAY, u32::try_from(mask).ok()));
    downstream.timer.set(thread.now().after_millis(FAREWELL_MS));
    poll_fn(|cx| {
        let client = &downstream.stream;
        if relay.poll_flush(client, carrier, cx).is_ready() {
            return Poll::Ready(());
        }
        downstream.timer.poll_expired(cx)
    })
    .await;
    fault
}

fn refusal(code: u16) -> Reject {
    if code == TOO_BIG {
        let detail = "a message is beyond `websocket.message_size`";
        return Reject::new(ErrorKind::RequestBodySize, detail);
    }
    let detail = "what came on the WebSocket is no message";
    Reject::new(ErrorKind::HttpRequestError, detail)
}
