// SPDX-License-Identifier: Apache-2.0
//! Addresses and ranges of them, as Kubernetes has them in CEL.
use crate::evaluate::{Outcome, Why, wrong};
use crate::value::Value;
use ipnet::IpNet;
use std::net::IpAddr;

/// An address without a zone; one of IPv4 that is written as one of IPv6 is itself.
fn address(text: &str) -> Option<IpAddr> {
    let is_mixed = text.contains(':') && text.contains('.');
    let address: IpAddr = text.parse().ok().filter(|_| !is_mixed)?;
    Some(address.to_canonical())
}

fn network(text: &str) -> Option<IpNet> {
    let is_mapped = text.contains(':') && text.contains('.');
    text.parse().ok().filter(|_| !is_mapped)
}

pub(crate) fn ip<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => address(own)
            .map(Value::Address)
            .ok_or(Why::BadText("address")),
        _ => wrong(),
    }
}

pub(crate) fn is_ip<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => Ok(Value::Bool(address(own).is_some())),
        _ => wrong(),
    }
}

/// Whether an address is written as it should be (RFC 5952).
pub(crate) fn is_canonical<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => {
            let address: IpAddr = own.parse().map_err(|_| Why::BadText("address"))?;
            Ok(Value::Bool(address.to_string() == **own))
        }
        _ => wrong(),
    }
}

pub(crate) fn cidr<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => network(own)
            .map(Value::Network)
            .ok_or(Why::BadText("network")),
        _ => wrong(),
    }
}

pub(crate) fn is_cidr<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => Ok(Value::Bool(network(own).is_some())),
        _ => wrong(),
    }
}

pub(crate) fn family<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Address(own)] => Ok(Value::Int(if own.is_ipv4() { 4 } else { 6 })),
        _ => wrong(),
    }
}

fn asked<'a>(values: &[Value<'a>], is: fn(&IpAddr) -> bool) -> Outcome<'a> {
    match values {
        [Value::Address(own)] => Ok(Value::Bool(is(own))),
        _ => wrong(),
    }
}

pub(crate) fn is_unspecified<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    asked(values, IpAddr::is_unspecified)
}

pub(crate) fn is_loopback<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    asked(values, IpAddr::is_loopback)
}

fn is_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(own) => own.is_link_local(),
        IpAddr::V6(own) => own.is_unicast_link_local(),
    }
}

/// Everything but what is unspecified, loopback, multicast, link-local or the broadcast address.
pub(crate) fn is_global_unicast<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    asked(values, |own| {
        let is_broadcast = matches!(own, IpAddr::V4(own) if own.is_broadcast());
        !(own.is_unspecified()
            || own.is_loopback()
            || own.is_multicast()
            || is_local(own)
            || is_broadcast)
    })
}

pub(crate) fn is_link_local_unicast<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    asked(values, is_local)
}

pub(crate) fn is_link_local_multicast<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    asked(values, |own| match own {
        IpAddr::V4(own) => own.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(own) => own.segments()[0] & 0xff0f == 0xff02,
    })
}

pub(crate) fn contains_ip<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Network(own), Value::Address(of)] => Ok(Value::Bool(own.contains(of))),
        [Value::Network(own), Value::Text(of)] => {
            let of = address(of).ok_or(Why::BadText("address"))?;
            Ok(Value::Bool(own.contains(&of)))
        }
        _ => wrong(),
    }
}

pub(crate) fn contains_cidr<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Network(own), Value::Network(of)] => Ok(Value::Bool(own.contains(of))),
        [Value::Network(own), Value::Text(of)] => {
            let of = network(of).ok_or(Why::BadText("network"))?;
            Ok(Value::Bool(own.contains(&of)))
        }
        _ => wrong(),
    }
}

pub(crate) fn ip_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Network(own)] => Ok(Value::Address(own.addr())),
        _ => wrong(),
    }
}

pub(crate) fn masked<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Network(own)] => Ok(Value::Network(own.trunc())),
        _ => wrong(),
    }
}

pub(crate) fn prefix_length<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Network(own)] => Ok(Value::Int(own.prefix_len().into())),
        _ => wrong(),
    }
}
