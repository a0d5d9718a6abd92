// SPDX-License-Identifier: Apache-2.0
//! What the kernel is asked for with datagrams. Whatever it tells beside them costs time with each.
use super::calls::set;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use std::io;
use std::os::fd::OwnedFd;

/// Has a socket tell marks of ECN, hand trains of datagrams over as one and never cut any, and tell the address
/// that each was sent to if it has several; whether datagrams may be cut all the same.
pub(super) fn prepare(fd: &OwnedFd, is_ipv6: bool, has_many: bool) -> io::Result<bool> {
    rustix::io::ioctl_fionbio(fd, true)?;
    // Where a socket of IPv6 takes no IPv4 the one is refused, and old kernels know no trains.
    let _ = sockopt::set_ip_recvtos(fd, true);
    let _ = set(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    let mut is_whole = sockopt::set_ip_mtu_discover(fd, Ipv4PathMtuDiscovery::PROBE).is_ok();
    if is_ipv6 {
        let _ = sockopt::set_ipv6_recvtclass(fd, true);
        is_whole &= sockopt::set_ipv6_mtu_discover(fd, Ipv6PathMtuDiscovery::PROBE).is_ok();
        is_whole &= set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1).is_ok();
    }
    if has_many && is_ipv6 {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    } else if has_many {
        set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    Ok(!is_whole)
}

/// Has the kernel cut datagrams that are too long for their way.
pub(super) fn allow_fragments(fd: &OwnedFd) {
    // Where the one is not known the other is.
    let _ = sockopt::set_ip_mtu_discover(fd, Ipv4PathMtuDiscovery::DONT);
    let _ = sockopt::set_ipv6_mtu_discover(fd, Ipv6PathMtuDiscovery::DONT);
    let _ = set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0);
}

/// Whether the kernel cuts what is sent into datagrams (since Linux 4.18).
pub(super) fn has_segments(fd: &OwnedFd) -> bool {
    set(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok()
}
