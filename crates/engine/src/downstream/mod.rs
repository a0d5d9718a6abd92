// SPDX-License-Identifier: Apache-2.0
//! The client's side of the request path.
//!
//! [`serve`] is one connection's task. While it is idle it owns no buffer and no request: those
//! live in [`Downstream::busy`], which is boxed when the first byte arrives and dropped some time
//! after the last one.

mod connection;
mod exchange;
mod internal;
mod mapping;
mod record;
mod reply;
mod upload;

use crate::snapshot::ListenerPlan;
use crate::thread::{Seat, Thread};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tidegate_net::{Peer, Stream};

pub(crate) use connection::Downstream;
pub(crate) use exchange::{Journey, head_limits};
pub(crate) use record::Record;
pub(crate) use reply::fixed_answer;
pub(crate) use upload::{Upload, UploadError};

/// Serves one client connection to its end. A defect in here ends this connection, counted, and
/// nothing else.
pub(crate) async fn serve(
    thread: Rc<Thread>,
    listener: Arc<ListenerPlan>,
    index: usize,
    stream: Stream,
    peer: Peer,
    seat: Seat,
) {
    let stats = thread.stats.clone();
    let mut connection = Downstream::new(thread, listener, index, stream, peer);
    let mut serving = pin!(async move {
        while connection.wait_for_request().await && Box::pin(connection.busy()).await {}
    });
    let whole = poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx))).unwrap_or_else(|_| {
            stats.count(|stats| &stats.panics);
            Poll::Ready(())
        })
    });
    whole.await;
    drop(seat);
}
