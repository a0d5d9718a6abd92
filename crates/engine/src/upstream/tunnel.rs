// SPDX-License-Identifier: Apache-2.0
//! What follows a `101 Switching Protocols`: bytes, both ways, unread.
use super::relay::OneWay;
use crate::downstream::Downstream;
use crate::thread::{Buffer, Connection};
use std::future::poll_fn;
use std::task::Poll;
use tidegate_core::Moment;

/// Relays until both sides have closed, nothing moved for `idle_ms`, or `until` has come. Returns
/// bytes from and to the client.
pub(crate) async fn tunnel(
    downstream: &mut Downstream,
    connection: &Connection,
    from_endpoint: Buffer,
    idle_ms: u64,
    until: Option<Moment>,
) -> (u64, u64) {
    let early = std::mem::take(&mut downstream.buffer);
    let mut inwards = OneWay::new(early);
    let mut outwards = OneWay::new(from_endpoint);
    let mut moved = (0, 0);
    let mut progress = downstream.thread.now();
    poll_fn(|cx| {
        let ways = (
            inwards.poll(&downstream.stream, &connection.stream, cx),
            outwards.poll(&connection.stream, &downstream.stream, cx),
        );
        let now_moved = (inwards.bytes, outwards.bytes);
        if now_moved != moved {
            moved = now_moved;
            progress = downstream.thread.now();
        }
        match ways {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
            _ => {}
        }
        let idle = progress.after_millis(idle_ms);
        downstream
            .timer
            .set(until.map_or(idle, |until| until.min(idle)));
        downstream.timer.poll_expired(cx)
    })
    .await;
    downstream.thread.buffers.give(inwards.buffer);
    downstream.thread.buffers.give(outwards.buffer);
    moved
}
