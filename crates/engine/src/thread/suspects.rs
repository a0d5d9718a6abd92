// SPDX-License-Identifier: Apache-2.0
//! Addresses whose connections come to nothing time and again, more often than not: their next ones begin one after
//! the other.
//!
//! Whoever is cut comes back, and shakes hands again: the attack that a limit ended becomes one by handshakes. Nobody
//! is refused for that, since many may share an address, and a proxy that is trusted has no debts.
use super::accept::begin;
use super::{Turn, Turns};
use crate::downstream::Downstream;
use crate::snapshot::Counted;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;
use tidegate_core::Moment;

/// What a connection that came to nothing counts for, in milliseconds that it takes to be forgotten.
const EACH_MS: u64 = 500;
/// Beyond so much of that an address is suspected, and more than the second is not remembered.
const SUSPECTED_MS: u64 = 10_000;
const MOST_MS: u64 = 20_000;
/// Addresses that are remembered: those that come when it is full are not.
const KEPT: usize = 4096;
/// Milliseconds between two looks for what can be forgotten.
const SWEPT_MS: u64 = 1000;

/// Between two connections of suspects.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// Who is suspected on one thread, and the line in which their connections stand.
pub(crate) struct Suspects {
    pub(super) line: Turns,
    /// When all that an address has done is forgotten.
    debts: RefCell<HashMap<u128, Moment>>,
    swept_at: Cell<Moment>,
}

impl Default for Suspects {
    fn default() -> Self {
        Self {
            line: Turns::new(1),
            debts: RefCell::default(),
            swept_at: Cell::new(Moment(0)),
        }
    }
}

impl Suspects {
    /// Notes that a connection from `address` came to nothing, after it was [praised](Self::praise) if `is_used`.
    pub(crate) fn blame(&self, address: IpAddr, is_used: bool, now: Moment) {
        let mut debts = self.debts.borrow_mut();
        if debts.len() >= KEPT && now >= self.swept_at.get().after_millis(SWEPT_MS) {
            self.swept_at.set(now);
            debts.retain(|_, until| *until > now);
        }
        let key = Counted::key(address);
        if debts.len() >= KEPT && !debts.contains_key(&key) {
            return;
        }
        let until = debts.entry(key).or_insert(now);
        let debt = match is_used {
            true => 2 * EACH_MS,
            false => EACH_MS,
        };
        *until = (*until).max(now).after_millis(debt);
        *until = (*until).min(now.after_millis(MOST_MS));
    }

    /// Notes that a connection from `address` was good for something: that makes up for one that was not.
    pub(crate) fn praise(&self, address: IpAddr) {
        let mut debts = self.debts.borrow_mut();
        if debts.is_empty() {
            return;
        }
        if let Some(until) = debts.get_mut(&Counted::key(address)) {
            *until = until.before_millis(EACH_MS);
        }
    }

    /// Whether connections from `address` have come to nothing too often.
    pub(crate) fn has(&self, address: IpAddr, now: Moment) -> bool {
        let debts = self.debts.borrow();
        let until = match debts.is_empty() {
            true => None,
            false => debts.get(&Counted::key(address)),
        };
        until.is_some_and(|until| *until > now.after_millis(SUSPECTED_MS))
    }
}

/// Serves a connection when it is its turn, in a task of its own until then.
pub(super) fn wait(connection: Box<Downstream>) {
    let (thread, place) = (connection.thread.clone(), connection.holding.place());
    thread.stats.count(|stats| &stats.delayed);
    connection.begin_handshake();
    let task = tokio::task::spawn_local(async move {
        let thread = connection.thread.clone();
        let mut turn = Turn::default();
        let is_called = poll_fn(|cx| {
            thread.timers.look();
            if thread.suspects.line.poll(&mut turn, cx).is_ready() {
                return Poll::Ready(true);
            }
            let is_over = thread.closes_idle.get();
            match is_over || connection.timer.poll_expired(cx).is_ready() {
                true => Poll::Ready(false),
                false => Poll::Pending,
            }
        });
        match is_called.await {
            true => begin(connection),
            false => {
                thread.stats.count(|stats| &stats.refused_rate);
                connection.stream.reset_on_close();
            }
        }
    });
    thread.holders.attach(place, task.abort_handle());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_is_suspected_after_many_connections_for_nothing_and_forgotten_after_a_while() {
        let suspects = Suspects::default();
        let now = Moment(0);
        for _ in 0..20 {
            suspects.blame(CLIENT, false, now);
            assert!(!suspects.has(CLIENT, now));
        }
        suspects.blame(CLIENT, false, now);
        assert!(suspects.has(CLIENT, now));
        assert!(!suspects.has(OTHER, now));
        assert!(!suspects.has(CLIENT, now.after_millis(501)));
        // However many there were, the last of them is forgotten as soon.
        (0..1000).for_each(|_| suspects.blame(CLIENT, false, now));
        assert!(suspects.has(CLIENT, now.after_millis(9_999)));
        assert!(!suspects.has(CLIENT, now.after_millis(10_000)));
    }

    #[test]
    fn one_for_nothing_now_and_then_is_not_suspicious() {
        let suspects = Suspects::default();
        for second in 0..1000 {
            let now = Moment(0).after_millis(500 * second);
            suspects.blame(CLIENT, false, now);
            assert!(!suspects.has(CLIENT, now));
        }
    }

    #[test]
    fn an_address_is_judged_by_what_most_of_its_connections_come_to() {
        let suspects = Suspects::default();
        let now = Moment(0).after_millis(60_000);
        for _ in 0..1000 {
            suspects.blame(CLIENT, false, now);
            suspects.praise(CLIENT);
        }
        assert!(!suspects.has(CLIENT, now));
        // Each of these was praised for its first request.
        for _ in 0..21 {
            suspects.praise(OTHER);
            suspects.blame(OTHER, true, now);
        }
        assert!(suspects.has(OTHER, now));
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        let suspects = Suspects::default();
        let now = Moment(0);
        for host in 0..21 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host);
            suspects.blame(address.into(), false, now);
        }
        let inside = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9);
        let outside = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1);
        assert!(suspects.has(inside.into(), now));
        assert!(!suspects.has(outside.into(), now));
    }

    #[test]
    fn only_so_many_are_remembered_and_the_old_ones_go() {
        let suspects = Suspects::default();
        let now = Moment(0);
        let address = |number: usize| IpAddr::from(Ipv4Addr::from(number as u32));
        (0..2 * KEPT).for_each(|number| suspects.blame(address(number), false, now));
        assert_eq!(suspects.debts.borrow().len(), KEPT);
        let later = now.after_millis(SWEPT_MS);
        suspects.blame(address(3 * KEPT), false, later);
        assert_eq!(suspects.debts.borrow().len(), 1);
    }
}
