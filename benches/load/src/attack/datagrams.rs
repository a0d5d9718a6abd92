// SPDX-License-Identifier: Apache-2.0
//! An attack by UDP: sends prepared datagrams from many ports, over and over.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType};

use super::plan::Plan;
use super::{Report, told};
use crate::shuttle::nanoseconds;

/// Datagrams sent between two looks at what came and at standard input.
const TURN: u64 = 64;
/// Nanoseconds that are waited where the rate allows no more.
const PAUSE: i64 = 500_000;

/// Attacks until standard input ends.
///
/// # Errors
/// No socket can be had.
pub fn run(plan: &Plan) -> std::io::Result<()> {
    let mut sockets: Vec<OwnedFd> = Vec::new();
    let mut report = Report::default();
    for number in 0..plan.connections as u64 {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(plan.source(number), 0))?;
        rustix::net::connect(&socket, &plan.target)?;
        sockets.push(socket);
        report.opened += 1;
    }
    report.open = report.opened;
    let mut pairs = sockets.iter().cycle().zip(plan.datagrams.iter().cycle());
    let begun = nanoseconds();
    let mut buffer = vec![0; 64 * 1024];
    let mut drained = sockets.iter().cycle();
    loop {
        let allowed = match plan.rate {
            0 => TURN,
            rate => {
                let passed = u128::from(nanoseconds() - begun) * u128::from(rate) / 1_000_000_000;
                let passed = u64::try_from(passed).unwrap_or(u64::MAX);
                passed.saturating_sub(report.repeats).min(TURN)
            }
        };
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: if allowed == 0 { PAUSE } else { 0 },
        };
        let input = std::io::stdin();
        let mut watched = [PollFd::new(&input, PollFlags::IN)];
        if poll(&mut watched, Some(&pause))? > 0 && !told(&report)? {
            return Ok(());
        }
        for (socket, datagram) in pairs.by_ref().take(usize::try_from(allowed).unwrap_or(0)) {
            report.repeats += 1;
            // A full queue, or nobody there: both are the attack's own affair.
            if rustix::net::send(socket.as_fd(), datagram, SendFlags::NOSIGNAL).is_ok() {
                report.sent += datagram.len() as u64;
            }
        }
        for socket in drained.by_ref().take(usize::try_from(TURN).unwrap_or(0)) {
            while let Ok((count, _)) = rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
                report.received += count as u64;
                report.counts.heads += 1;
            }
        }
    }
}
