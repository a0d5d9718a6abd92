// SPDX-License-Identifier: Apache-2.0
//! The wait for a worker that is ready and has room.
use super::here::Here;
use super::link::Link;
use super::message::Failure;
use super::plan::{FunctionPlan, Seat};
use crate::decide::{Key, NoEndpoint};
use crate::downstream::Downstream;
use crate::snapshot::BackendPlan;
use crate::thread::Timer;
use crate::upstream::{Pending, Place};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tidegate_core::{ErrorKind, Moment};
use tokio::sync::Notify;

/// What looking for a worker came to.
pub(crate) enum Found<T> {
    /// One that is ready and has room.
    Seat(T),
    /// All that are ready have as many calls as they take.
    Busy,
    /// None is ready.
    Nobody,
}

const NOBODY: Failure = (
    ErrorKind::DestinationUnavailable,
    "no worker of the function is ready: they are starting, or ended and wait for a restart",
);
const BUSY: Failure = (
    ErrorKind::PendingTimeout,
    "all workers of the function had no room for too long",
);

/// A seat for a policy's call.
pub(super) async fn of_policy(
    here: &Here,
    function: &FunctionPlan,
    timer: &Timer,
    deadline: Moment,
) -> Result<(Rc<Link>, Seat), Failure> {
    let look = || function.take(|path| here.link(path));
    if let Found::Seat(found) = look() {
        function.note_ready();
        return Ok(found);
    }
    wait(here, function, function.room(), timer, deadline, look).await
}

/// A seat for a call of a function that is a backend.
pub(super) async fn of_backend(
    here: &Here,
    downstream: &Downstream,
    plan: &BackendPlan,
    function: &FunctionPlan,
    deadline: Moment,
) -> Result<(Place, Rc<Link>), Failure> {
    let look = || pick(here, downstream, plan);
    if let Found::Seat(found) = look() {
        function.note_ready();
        return Ok(found);
    }
    let _counted = Pending::count(plan)?;
    let (room, timer) = (&plan.shared.room, &downstream.timer);
    wait(here, function, room, timer, deadline, look).await
}

fn pick(here: &Here, downstream: &Downstream, plan: &BackendPlan) -> Found<(Place, Rc<Link>)> {
    let list = plan.shared.list.load();
    let link = |index: usize| {
        let address = &list.endpoints.get(index)?.address;
        here.link(address.strip_prefix("unix:").unwrap_or(address))
    };
    let (mut unready, mut ready) = (Vec::new(), Vec::new());
    for index in 0..list.endpoints.len() as u16 {
        match link(index.into()) {
            Some(_) => ready.push(index),
            None => unready.push(index),
        }
    }
    if ready.is_empty() {
        return Found::Nobody;
    }
    let place = match Place::pick(downstream, plan, &unready, &Key::default()) {
        // Those that are ready are excluded by passive health: better they than nobody.
        Err(NoEndpoint::Nothing) => Place::least_busy(plan, &ready),
        other => other,
    };
    match place {
        Ok(place) => match link(place.index) {
            Some(link) => Found::Seat((place, link)),
            // The list was replaced in between.
            None => Found::Nobody,
        },
        Err(_) => Found::Busy,
    }
}

/// Waits until `look` finds a seat: for `pending` at most, and longer for workers that have just been
/// started, but never past `deadline`.
async fn wait<T>(
    here: &Here,
    function: &FunctionPlan,
    room: &Notify,
    timer: &Timer,
    deadline: Moment,
    mut look: impl FnMut() -> Found<T>,
) -> Result<T, Failure> {
    let now = here.thread.now();
    let ready_until = function.ready_until(now).min(deadline);
    let room_until = now.after_millis(function.config.pending.0).min(deadline);
    loop {
        // Both listen before it looks: what happens in between is not missed.
        let mut changed = pin!(here.changed().notified());
        changed.as_mut().enable();
        let mut freed = pin!(room.notified());
        let mut found = look();
        if matches!(found, Found::Busy) {
            // Only now: room is told to one waiter, which has to have a use for it.
            freed.as_mut().enable();
            found = look();
        }
        let (until, failure) = match found {
            Found::Seat(found) => {
                function.note_ready();
                return Ok(found);
            }
            Found::Busy => (room_until, BUSY),
            Found::Nobody => (ready_until, NOBODY),
        };
        let is_busy = failure == BUSY;
        timer.set(until);
        let is_told = poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready()
                || (is_busy && freed.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(true);
            }
            timer.poll_expired(cx).map(|()| false)
        });
        if !is_told.await {
            return Err(failure);
        }
    }
}
