// SPDX-License-Identifier: Apache-2.0
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anybody may have it on the internet.
    Public,
    /// A cloud tells its machines there who they are, credentials included.
    Metadata,
    /// `127.0.0.0/8`, `::1`: this machine.
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918), `fc00::/7` (RFC 4193).
    Private,
    /// `169.254.0.0/16` (RFC 3927), `fe80::/10` (RFC 4291).
    LinkLocal,
    /// `100.64.0.0/10` (RFC 6598).
    CarrierNat,
    /// Many at once.
    Multicast,
    /// `0.0.0.0/8`, `::`: this machine, to most systems.
    Unspecified,
    /// An IPv4 address inside of an IPv6 one, on a way that nobody watches: 6to4, Teredo and the like.
    Embedded,
    /// Documentation, benchmarks and what is not given out (RFC 6890).
    Reserved,
}

/// Addresses of metadata services: most clouds, those of AWS, Oracle, Alibaba and Azure beside it.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// `fd00:ec2::254`, `fd00:ec2::23`, `fd20:ce::254`.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl Class {
    /// What `address` is; one of IPv4 over IPv6 (`::ffff:0:0/96`) and behind NAT64 (`64:ff9b::/96`) is what
    /// it stands for.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// In a few words, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Metadata => "a metadata service's",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::CarrierNat => "an address behind a carrier's NAT",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "an unspecified address",
            Self::Embedded => "an IPv4 address inside of an IPv6 one",
            Self::Reserved => "a reserved address",
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, or behind NAT64's well-known prefix (RFC 6052).
pub fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let [a, b, c, d, e, f, high, low] = address.segments();
    let is_inside = matches!(
        [a, b, c, d, e, f],
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0]
    );
    let bits = u32::from(high) << 16 | u32::from(low);
    is_inside.then(|| Ipv4Addr::from(bits).into())
}

fn of_v4(address: Ipv4Addr) -> Class {
    if METADATA_V4.contains(&address) {
        return Class::Metadata;
    }
    match address.octets() {
        [0, ..] => Class::Unspecified,
        [127, ..] => Class::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [169, 254, ..] => Class::LinkLocal,
        [100, 64..=127, ..] => Class::CarrierNat,
        [224..=239, ..] => Class::Multicast,
        [192, 0, 0 | 2, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 88, 99, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Class {
    if let Some(inside) = embedded(address.into()) {
        return Class::of(inside);
    }
    if METADATA_V6.contains(&address) {
        return Class::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        // IPv4-compatible, NAT64 of a network's own, Teredo, 6to4; ISATAP by its interface identifier.
        [0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x2001, 0, ..]
        | [0x2002, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Class::Embedded,
        [0xfc00..=0xfdff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        // Site-local, which was given up (RFC 3879) and is still in use.
        [0xfec0..=0xfeff, ..] => Class::Private,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2001, 0x0001..=0x01ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Class::Reserved
        }
        // All of the internet is in here (RFC 4291 §2.4).
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}
