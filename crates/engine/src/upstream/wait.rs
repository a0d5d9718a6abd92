// SPDX-License-Identifier: Apache-2.0
//! Waiting for an endpoint with room.
use super::open::Place;
use crate::decide::Key;
use crate::downstream::Downstream;
use crate::snapshot::{BackendPlan, BackendShared};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tidegate_core::{ErrorKind, Moment};

/// How long somebody waits without looking: health and limits that change tell nobody.
const LOOK_AGAIN_MS: u64 = 100;

type Waited = Result<Place, (ErrorKind, &'static str)>;

/// A wait counted at its backend.
pub(crate) struct Pending<'a>(&'a BackendShared);

impl<'a> Pending<'a> {
    /// Counts a wait.
    ///
    /// # Errors
    /// As many wait as may.
    pub(crate) fn count(plan: &'a BackendPlan) -> Result<Self, (ErrorKind, &'static str)> {
        let shared = &*plan.shared;
        let pending = shared.pending.fetch_add(1, Ordering::Relaxed);
        let counted = Self(shared);
        if pending >= plan.config.limits.pending {
            shared.refused_full.fetch_add(1, Ordering::Relaxed);
            return Err((
                ErrorKind::ConnectionLimitReached,
                "too many requests wait for this backend",
            ));
        }
        Ok(counted)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that waits for room.
pub(super) struct Wait<'a> {
    pub(super) downstream: &'a Downstream,
    pub(super) plan: &'a BackendPlan,
    pub(super) tried: &'a [u16],
    pub(super) key: &'a Key,
    pub(super) until: Option<Moment>,
}

impl Wait<'_> {
    /// Waits behind those that came before, as whoever would take any endpoint does.
    pub(super) async fn in_line(self) -> Waited {
        let _counted = Pending::count(self.plan)?;
        let turn = self.plan.shared.line.enter();
        let deadline = self.deadline();
        loop {
            self.set_timer(deadline);
            let is_told = poll_fn(|cx| {
                if turn.poll_told(cx).is_ready() {
                    return Poll::Ready(true);
                }
                let timer = &self.downstream.timer;
                timer.poll_expired(cx).map(|()| false)
            });
            let is_told = is_told.await;
            if turn.is_first()
                && let Ok(place) = self.pick()
            {
                return Ok(place);
            }
            if !is_told {
                self.check(deadline)?;
            }
        }
    }

    /// Waits for certain endpoints, whoever waits for others.
    pub(super) async fn aside(self) -> Waited {
        let _counted = Pending::count(self.plan)?;
        let deadline = self.deadline();
        loop {
            let mut room = pin!(self.plan.shared.room.notified());
            // Listens before it looks: room that comes up in between is not missed.
            room.as_mut().enable();
            if let Ok(place) = self.pick() {
                return Ok(place);
            }
            self.set_timer(deadline);
            let is_told = poll_fn(|cx| {
                if room.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                let timer = &self.downstream.timer;
                timer.poll_expired(cx).map(|()| false)
            });
            if !is_told.await {
                self.check(deadline)?;
            }
        }
    }

    fn pick(&self) -> Result<Place, crate::decide::NoEndpoint> {
        Place::pick(self.downstream, self.plan, self.tried, self.key)
    }

    fn deadline(&self) -> Moment {
        let now = self.downstream.thread.now();
        let deadline = now.after_millis(self.plan.config.timeouts.pending.0);
        self.until.map_or(deadline, |until| until.min(deadline))
    }

    fn set_timer(&self, deadline: Moment) {
        let again = self.downstream.thread.now().after_millis(LOOK_AGAIN_MS);
        self.downstream.timer.set(deadline.min(again));
    }

    fn check(&self, deadline: Moment) -> Result<(), (ErrorKind, &'static str)> {
        if self.downstream.thread.now() < deadline {
            return Ok(());
        }
        let late = &self.plan.shared.refused_late;
        late.fetch_add(1, Ordering::Relaxed);
        Err((ErrorKind::PendingTimeout, "no endpoint had room in time"))
    }
}
