// SPDX-License-Identifier: Apache-2.0
//! What follows a `101 Switching Protocols`: bytes, both ways, unread.
use super::carrier::Carrier;
use super::relay::Relay;
use crate::downstream::Downstream;
use crate::thread::Buffer;
use std::future::poll_fn;
use std::task::Poll;
use tidegate_core::Moment;

/// Relays until both sides have closed, nothing moved for `idle_ms`, or `until` has come. Returns
/// bytes from and to the client.
pub(crate) async fn tunnel(
    downstream: &mut Downstream,
    carrier: &Carrier,
    from_endpoint: Buffer,
    idle_ms: u64,
    until: Option<Moment>,
) -> (u64, u64) {
    let early = std::mem::take(&mut downstream.buffer);
    let mut relay = Relay::new(early, from_endpoint, downstream.thread.now());
    poll_fn(|cx| {
        let (thread, client) = (&downstream.thread, &downstream.stream);
        if relay.poll(thread, client, carrier, cx).is_ready() {
            return Poll::Ready(());
        }
        let idle = relay.progress().after_millis(idle_ms);
        downstream
            .timer
            .set(until.map_or(idle, |until| until.min(idle)));
        downstream.timer.poll_expired(cx)
    })
    .await;
    relay.end(&downstream.thread);
    relay.moved()
}
