// SPDX-License-Identifier: Apache-2.0
//! Addresses whose connections come to nothing time and again, more often than not: their next ones begin one after
//! the other.
//!
//! Whoever is cut comes back, and shakes hands again: the attack that a limit ended becomes one by handshakes. Nobody
//! is refused for that, since many may share an address, and a proxy that is trusted has no debts.
use super::accept::begin;
use super::debts::Debts;
use super::{Turn, Turns};
use crate::downstream::Downstream;
use std::cell::Cell;
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
/// What a packet that may begin a connection of QUIC counts for, and beyond how much of that no more are looked at: each
/// costs keys, and a handshake takes two or three.
const PACKET_MS: u64 = 2;
const PACKETS_MS: u64 = 2000;
/// The same for all addresses in microseconds: while there are fewer, nobody's are counted against him.
const ANYBODYS_US: u64 = 200;
const ANYBODYS_MS: u64 = 1000;

/// Between two connections of suspects.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// Who is suspected on one thread, and the line in which their connections stand.
pub(crate) struct Suspects {
    pub(super) line: Turns,
    nothings: Debts,
    packets: Debts,
    /// When all packets that may begin a connection are forgotten.
    packets_until: Cell<Moment>,
}

impl Default for Suspects {
    fn default() -> Self {
        Self {
            line: Turns::new(1),
            nothings: Debts::default(),
            packets: Debts::default(),
            packets_until: Cell::new(Moment(0)),
        }
    }
}

impl Suspects {
    /// Notes that a connection from `address` came to nothing, after it was [praised](Self::praise) if `is_used`.
    pub(crate) fn blame(&self, address: IpAddr, is_used: bool, now: Moment) {
        let millis = match is_used {
            true => 2 * EACH_MS,
            false => EACH_MS,
        };
        self.nothings.add(address, millis, MOST_MS, now);
    }

    /// Notes that a connection from `address` was good for something: that makes up for one that was not.
    pub(crate) fn praise(&self, address: IpAddr) {
        self.nothings.pay(address, EACH_MS);
    }

    /// Whether connections from `address` have come to nothing too often.
    pub(crate) fn has(&self, address: IpAddr, now: Moment) -> bool {
        self.nothings.is_beyond(address, SUSPECTED_MS, now)
    }

    /// Whether one more packet from `address` that belongs to no connection may be looked at.
    pub(crate) fn may_begin(&self, address: IpAddr, now: Moment) -> bool {
        let until = self.packets_until.get().max(now).after_micros(ANYBODYS_US);
        if until <= now.after_millis(ANYBODYS_MS) {
            self.packets_until.set(until);
            return true;
        }
        let may = !self.packets.is_beyond(address, PACKETS_MS, now);
        if may {
            self.packets.add(address, PACKET_MS, MOST_MS, now);
        }
        may
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
    use super::super::debts::{KEPT, SWEPT_MS};
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
        assert_eq!(suspects.nothings.len(), KEPT);
        let later = now.after_millis(SWEPT_MS);
        suspects.blame(address(3 * KEPT), false, later);
        assert_eq!(suspects.nothings.len(), 1);
    }
    #[test]
    fn packets_that_begin_something_are_so_many_for_each_address() {
        let suspects = Suspects::default();
        let now = Moment(0).after_millis(60_000);
        let all = |address, now| {
            (0..9000)
                .filter(|_| suspects.may_begin(address, now))
                .count()
        };
        // The first 5,000 are anybody's, and 500 more after a tenth of a second.
        assert_eq!(all(CLIENT, now), 5000 + 1001);
        assert_eq!(all(OTHER, now), 1001);
        assert_eq!(all(CLIENT, now.after_millis(100)), 500 + 50);
        assert_eq!(all(OTHER, now.after_millis(100)), 50);
    }
}
