// SPDX-License-Identifier: Apache-2.0
//! What a TLS client asks for, read on its way to an endpoint.
use crate::downstream::Downstream;
use std::future::poll_fn;
use std::task::Poll;
use tidegate_net::{Hello, HelloReader, LONGEST_HELLO, NoHello};
use tidegate_tls::Refusal;

/// A fatal `unrecognized_name` (RFC 6066 §3) in a record of its own.
const UNKNOWN_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

/// Reads the client's first message, which stays in the connection's buffer; `None` when none came
/// in time, or something else, which has been counted and told.
pub(super) async fn read_hello(downstream: &mut Downstream) -> Option<Hello> {
    downstream.begin_handshake();
    downstream.buffer = downstream.thread.buffers.take();
    let mut reader = HelloReader::default();
    let outcome = loop {
        let before = downstream.buffer.len();
        if before >= LONGEST_HELLO {
            break Err(Refusal::Malformed);
        }
        let read = poll_fn(|cx| {
            let room = downstream.buffer.room(LONGEST_HELLO);
            match downstream.stream.poll_read(cx, room) {
                Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(count)),
                Poll::Ready(_) => Poll::Ready(Err(Refusal::Closed)),
                Poll::Pending if downstream.thread.closes_idle.get() => {
                    Poll::Ready(Err(Refusal::Closed))
                }
                Poll::Pending => {
                    let expired = downstream.timer.poll_expired(cx);
                    expired.map(|()| Err(Refusal::Timeout))
                }
            }
        });
        match read.await {
            Ok(count) => downstream.buffer.filled(count),
            Err(refusal) => break Err(refusal),
        }
        downstream.holding.hold(downstream.buffer.size());
        let fresh = downstream.buffer.data().get(before..).unwrap_or_default();
        match reader.take(fresh) {
            Ok(Some(hello)) => break Ok(hello),
            Ok(None) => {}
            Err(NoHello::NotTls) => break Err(Refusal::NotTls),
            Err(NoHello::Malformed) => break Err(Refusal::Malformed),
        }
    };
    match outcome {
        Ok(hello) => Some(hello),
        Err(refusal) => {
            refuse(downstream, refusal);
            None
        }
    }
}

/// Counts and logs why there is no connection.
pub(super) fn refuse(downstream: &mut Downstream, refusal: Refusal) {
    let thread = downstream.thread.clone();
    thread.buffers.give(std::mem::take(&mut downstream.buffer));
    thread.stats.count_refusal(refusal as usize);
    // Whoever comes and goes is no news, and many do: the metrics count them.
    if refusal != Refusal::Closed && thread.may_log_handshake() {
        downstream.log_refusal(refusal);
    }
}

/// Tells the client that nobody has the name it asked for.
pub(super) fn say_unknown_name(downstream: &Downstream) {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    // It may be gone already, or take nothing: it is closed in any case.
    let _ = downstream.stream.poll_write(&mut cx, &UNKNOWN_NAME);
}
