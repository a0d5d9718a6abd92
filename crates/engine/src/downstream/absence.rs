// SPDX-License-Identifier: Apache-2.0
use super::connection::Downstream;
use std::task::{Context, Poll, ready};
use tidegate_core::Moment;

/// Milliseconds between two looks at a client while an endpoint is silent. Looking is a system call
/// that most exchanges are too short for.
const LOOK_MS: u64 = 1000;

/// How a wait for somebody else than the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Its deadline came.
    Deadline,
    /// The client has reset its connection: nobody wants what is waited for.
    ClientGone,
}

/// When to look next whether the client is still there.
#[derive(Default)]
pub(crate) struct Absence {
    look_at: Option<Moment>,
}

impl Absence {
    /// Waits for `at`, and for the client to be gone for good. One that has only sent its end, as
    /// `nc -N` and many scripts do once they have asked, still gets its answer.
    pub(crate) fn poll(
        &mut self,
        downstream: &Downstream,
        cx: &mut Context<'_>,
        at: Moment,
    ) -> Poll<Expired> {
        if let Some(stream) = downstream.stream.stream()
            && stream.poll_gone(cx)
        {
            return Poll::Ready(Expired::ClientGone);
        }
        loop {
            let now = downstream.thread.moment();
            let look_at = *self.look_at.get_or_insert(now.after_millis(LOOK_MS));
            if now >= look_at {
                self.look_at = Some(now.after_millis(LOOK_MS));
                if downstream.stream.is_gone() {
                    return Poll::Ready(Expired::ClientGone);
                }
                continue;
            }
            downstream.timer.set(at.min(look_at));
            ready!(downstream.timer.poll_expired(cx));
            if at <= look_at {
                return Poll::Ready(Expired::Deadline);
            }
        }
    }
}
