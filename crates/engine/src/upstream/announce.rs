// SPDX-License-Identifier: Apache-2.0
//! Telling endpoints whose connection it is, by the PROXY protocol.
use crate::snapshot::BackendPlan;
use std::io;
use std::task::{Context, Poll, Waker};
use tidegate_config::ProxyVersion;
use tidegate_net::{Announced, Stream, proxy_binary, proxy_line};

/// Sends the head with which a connection to an endpoint of `plan` begins, if one does: there is room
/// for it, as nothing else was written yet. Without `ends` it tells of nobody.
///
/// # Errors
/// When the endpoint is gone.
pub(crate) fn announce(
    plan: &BackendPlan,
    stream: &Stream,
    ends: Option<&Announced>,
) -> io::Result<()> {
    let head = match plan.config.proxy_protocol {
        None => return Ok(()),
        Some(ProxyVersion::V1) => proxy_line(ends),
        Some(ProxyVersion::V2) => proxy_binary(ends),
    };
    let mut cx = Context::from_waker(Waker::noop());
    match stream.poll_write(&mut cx, &head) {
        Poll::Ready(Ok(count)) if count == head.len() => Ok(()),
        Poll::Ready(Err(error)) => Err(error),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
