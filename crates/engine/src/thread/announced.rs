// SPDX-License-Identifier: Apache-2.0
//! Connections of proxies that say first whose they are, by the PROXY protocol.
use super::accept::begin_in_turn;
use crate::downstream::Downstream;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use tidegate_core::ErrorKind;
use tidegate_net::{Announced, LONGEST_PROXY_HEAD, ProxyHead};

/// Why a connection is closed instead, for the log; empty for one that just ended.
type Refused = &'static str;

/// Serves a connection once its head has been read, in a task of its own until then.
pub(super) fn wait(mut connection: Box<Downstream>) {
    let (thread, place) = (connection.thread.clone(), connection.holding.place());
    let task = tokio::task::spawn_local(async move {
        let outcome = read(&mut connection).await;
        let stats = connection.thread.stats.clone();
        match outcome {
            Ok(Some(announced)) if !connection.announce(&announced) => {
                stats.count(|stats| &stats.refused);
                connection.stream.reset_on_close();
            }
            Ok(_) if !connection.is_admitted() => {
                stats.count(|stats| &stats.refused_client);
                connection.stream.reset_on_close();
            }
            Ok(_) => begin_in_turn(connection),
            Err(why) => {
                stats.count(|stats| &stats.refused_proxy);
                if !why.is_empty() && connection.thread.may_log_handshake() {
                    connection.log_refused(ErrorKind::ProxyConfigurationError, why);
                }
                connection.stream.reset_on_close();
            }
        }
    });
    thread.holders.attach(place, task.abort_handle());
}

/// Takes the head off the connection; what it says of whose it is.
async fn read(connection: &mut Downstream) -> Result<Option<Announced>, Refused> {
    let limit = match &connection.listener.config.proxy_protocol {
        Some(own) => own.timeout.0,
        None => 0, // a listener that has changed since
    };
    let thread = connection.thread.clone();
    connection.timer.set(thread.now().after_millis(limit));
    let mut known = 0;
    let head = poll_fn(|cx| {
        thread.timers.look();
        if thread.closes_idle.get() {
            return Poll::Ready(Err(""));
        }
        if let Poll::Ready(outcome) = poll_head(connection, cx, &mut known) {
            return Poll::Ready(outcome);
        }
        let expired = connection.timer.poll_expired(cx);
        expired.map(|()| Err("the head of the PROXY protocol did not come in time"))
    });
    let head = head.await?;
    let mut taken = thread.buffers.take();
    let room = taken.room(LONGEST_PROXY_HEAD);
    let room = room.get_mut(..head.length).unwrap_or_default();
    let whole = connection.stream.whole();
    let skipped = whole.is_some_and(|stream| stream.skip(room).is_ok());
    thread.buffers.give(taken);
    if !skipped {
        return Err("");
    }
    Ok(head.announced)
}

/// Looks at what has come until it is a head: what follows is left for others to read.
fn poll_head(
    connection: &Downstream,
    cx: &mut Context<'_>,
    known: &mut usize,
) -> Poll<Result<ProxyHead, Refused>> {
    let Some(stream) = connection.stream.whole() else {
        return Poll::Ready(Err(""));
    };
    let mut seen = connection.thread.buffers.take();
    let outcome = loop {
        let room = seen.room(LONGEST_PROXY_HEAD);
        let room = room.get_mut(..LONGEST_PROXY_HEAD).unwrap_or_default();
        let count = match stream.poll_peek(cx, room, *known) {
            Poll::Ready(Ok(0) | Err(_)) => break Poll::Ready(Err("")),
            Poll::Ready(Ok(count)) => count,
            Poll::Pending => break Poll::Pending,
        };
        *known = count;
        match ProxyHead::parse(room.get(..count).unwrap_or_default()) {
            Ok(Some(head)) => break Poll::Ready(Ok(head)),
            Ok(None) => {}
            Err(_) => {
                let why = "it does not begin with a head of the PROXY protocol";
                break Poll::Ready(Err(why));
            }
        }
    };
    connection.thread.buffers.give(seen);
    Poll::Ready(ready!(outcome))
}
