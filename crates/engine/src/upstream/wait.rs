// SPDX-License-Identifier: Apache-2.0
//! Waiting for an endpoint with room.
use super::open::Place;
use crate::decide::Key;
use crate::downstream::Downstream;
use crate::snapshot::{BackendPlan, BackendShared};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tidegate_core::{ErrorKind, Moment};

/// How long somebody waits without looking: health and limits that change tell nobody.
const LOOK_AGAIN_MS: u64 = 100;

pub(crate) type Waited = Result<Place, (ErrorKind, &'static str)>;

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

/// An endpoint that a request has found gone.
#[derive(Clone, Copy)]
pub(crate) struct Lost {
    /// How it was found out last.
    kind: ErrorKind,
    /// Of the list that the endpoint is in.
    version: u64,
    /// When the request found the first one gone.
    began: Moment,
}

impl Lost {
    /// One more, after those `before`.
    pub(crate) fn note(
        before: Option<Self>,
        kind: ErrorKind,
        place: &Place,
        now: Moment,
    ) -> Option<Self> {
        Some(Self {
            kind,
            version: place.list.version.load(Ordering::Acquire),
            began: before.map_or(now, |before| before.began),
        })
    }
}

/// A request that wants an endpoint, and may wait for room.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) downstream: &'a Downstream,
    pub(crate) plan: &'a BackendPlan,
    pub(crate) tried: &'a [u16],
    pub(crate) key: &'a Key,
    pub(crate) until: Option<Moment>,
}

impl Wait<'_> {
    /// Whether an endpoint is expected where there is none.
    pub(super) fn is_worth_it(&self) -> bool {
        let start = self.plan.start_until();
        start.is_some_and(|start| self.downstream.thread.now() < start)
    }

    /// Waits behind those that came before, as whoever would take any endpoint does.
    pub(super) async fn in_line(self) -> Waited {
        let _counted = Pending::count(self.plan)?;
        let turn = self.plan.shared.line.enter();
        let mut deadline = self.deadline();
        loop {
            deadline = self.prolonged(deadline);
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
        let mut deadline = self.deadline();
        loop {
            deadline = self.prolonged(deadline);
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

    /// Waits until endpoints that were found gone may be tried again, where they are started anew when they
    /// end: until control has said that they are others, and a moment at most. Returns whether they may.
    pub(crate) async fn restarted(self, lost: Lost) -> bool {
        let Some(wait) = &self.plan.config.start_wait else {
            return false;
        };
        let is_gone = matches!(
            lost.kind,
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionTerminated
        );
        // What is too slow, or speaks no HTTP, is there.
        if !is_gone || !self.is_in_force() {
            return false;
        }
        let Ok(_counted) = Pending::count(self.plan) else {
            return false;
        };
        let deadline = lost.began.after_millis(wait.0);
        let deadline = self.until.map_or(deadline, |until| until.min(deadline));
        let shared = &self.plan.shared;
        let mut told = pin!(shared.room.notified());
        told.as_mut().enable();
        if shared.list.load().version.load(Ordering::Acquire) == lost.version {
            self.set_timer(deadline);
            let timer = &self.downstream.timer;
            poll_fn(|cx| match told.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(()),
                false => timer.poll_expired(cx),
            })
            .await;
        }
        self.downstream.thread.now() < deadline
    }

    /// Whether the configuration still has the backend: of one that is gone nothing is told any more.
    fn is_in_force(&self) -> bool {
        let current = self.downstream.thread.current();
        let now = current.snapshot.backends.get(&*self.plan.name);
        now.is_some_and(|now| Arc::ptr_eq(&now.shared, &self.plan.shared))
    }

    fn pick(&self) -> Result<Place, crate::decide::NoEndpoint> {
        Place::pick(self.downstream, self.plan, self.tried, self.key)
    }

    fn deadline(&self) -> Moment {
        let now = self.downstream.thread.now();
        let deadline = now.after_millis(self.plan.config.timeouts.pending.0);
        self.until.map_or(deadline, |until| until.min(deadline))
    }

    /// A deadline that is no sooner than what a backend without endpoints has for its next one.
    fn prolonged(&self, deadline: Moment) -> Moment {
        let Some(start) = self.plan.start_until() else {
            return deadline;
        };
        let start = self.until.map_or(start, |until| until.min(start));
        deadline.max(start)
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
        if self.plan.shared.absent_since().is_some() {
            return Err((
                ErrorKind::DestinationUnavailable,
                "the backend had no endpoint in time",
            ));
        }
        Err((ErrorKind::PendingTimeout, "no endpoint had room in time"))
    }
}
