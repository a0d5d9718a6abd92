// SPDX-License-Identifier: Apache-2.0
use super::count::{Meter, UserCounts};
use super::plan::UserPlan;
use crate::downstream::Wire;
use crate::thread::{Thread, Timer};
use crate::upstream::Pipe;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tidegate_core::Moment;

/// Milliseconds by which a user may be ahead of his rate.
const AHEAD_MS: u64 = 100;
/// Milliseconds between two looks of one who waits: he is seen to be there.
const LOOK_MS: u64 = 5_000;
/// Bytes that go at a time, at least and at most.
const PIECE: std::ops::RangeInclusive<u64> = (1 << 10)..=(64 << 10);

/// Both ways of an exchange whose user has a rate.
pub(crate) struct Lanes {
    inwards: Lane,
    outwards: Lane,
}

impl Lanes {
    /// For an exchange of `user`, of which `early` bytes have come already; `None` if he has no rate.
    pub(crate) fn of(user: &UserPlan, thread: &Rc<Thread>, early: usize) -> Option<Box<Self>> {
        let (up, down) = (user.limits.upload, user.limits.download);
        if up.is_none() && down.is_none() {
            return None;
        }
        let lane = |rate: Option<u64>, meter: fn(&UserCounts) -> &Meter| Lane {
            rate: rate.unwrap_or(u64::MAX),
            meter,
            not_before: Cell::new(meter(&user.counts).due().before_millis(AHEAD_MS)),
            waits_since: Cell::new(None),
            counts: user.counts.clone(),
            timer: thread.timers.timer(),
            thread: thread.clone(),
        };
        let lanes = Self {
            inwards: lane(up.map(|rate| rate.0), |counts| &counts.inwards),
            outwards: lane(down.map(|rate| rate.0), |counts| &counts.outwards),
        };
        lanes.inwards.moved(early);
        Some(Box::new(lanes))
    }

    /// What comes from the user.
    pub(crate) fn inwards(&self) -> &Lane {
        &self.inwards
    }

    /// Whether something is held back now.
    pub(crate) fn holds_back(&self) -> bool {
        self.inwards.waits_since.get().is_some() || self.outwards.waits_since.get().is_some()
    }
}

/// One way. What has moved is written down for the user, and whoever moved it waits until that is due: so
/// everybody's pieces take turns, and bytes that are not sent take nobody's place.
pub(crate) struct Lane {
    rate: u64,
    meter: fn(&UserCounts) -> &Meter,
    not_before: Cell<Moment>,
    waits_since: Cell<Option<Moment>>,
    counts: Arc<UserCounts>,
    timer: Timer,
    thread: Rc<Thread>,
}

impl Lane {
    /// How many bytes may move now.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.rate == u64::MAX {
            return Poll::Ready(usize::MAX);
        }
        loop {
            let (now, not_before) = (self.thread.now(), self.not_before.get());
            if now >= not_before {
                if let Some(since) = self.waits_since.take() {
                    self.counts.held_back(now.micros_since(since));
                }
                let piece = (self.rate / 8).clamp(*PIECE.start(), *PIECE.end());
                return Poll::Ready(piece as usize);
            }
            if self.waits_since.get().is_none() {
                self.waits_since.set(Some(now));
            }
            self.timer.set(not_before.min(now.after_millis(LOOK_MS)));
            ready!(self.timer.poll_expired(cx));
        }
    }

    /// So many have.
    pub(crate) fn moved(&self, count: usize) {
        if self.rate != u64::MAX {
            let meter = (self.meter)(&self.counts);
            let due = meter.charge(self.thread.now(), self.rate, count as u64);
            self.not_before.set(due.before_millis(AHEAD_MS));
        }
    }
}

/// The client's connection, at the user's rate if he has one.
pub(crate) struct Paced<'a> {
    pub(crate) wire: &'a Wire,
    pub(crate) lanes: Option<&'a Lanes>,
}

impl Pipe for Paced<'_> {
    #[inline]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(Lanes { inwards, .. }) = self.lanes else {
            return self.wire.poll_read(cx, buffer);
        };
        let most = ready!(inwards.poll(cx)).min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let outcome = ready!(self.wire.poll_read(cx, room));
        inwards.moved(outcome.as_ref().map_or(0, |count| *count));
        Poll::Ready(outcome)
    }

    #[inline]
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(Lanes { outwards, .. }) = self.lanes else {
            return self.wire.poll_write(cx, bytes);
        };
        let most = ready!(outwards.poll(cx)).min(bytes.len());
        let piece = bytes.get(..most).unwrap_or_default();
        let outcome = ready!(self.wire.poll_write(cx, piece));
        outwards.moved(outcome.as_ref().map_or(0, |count| *count));
        Poll::Ready(outcome)
    }

    fn shutdown_write(&self) {
        self.wire.shutdown_write();
    }

    fn reset_on_close(&self) {
        Pipe::reset_on_close(self.wire);
    }
}
