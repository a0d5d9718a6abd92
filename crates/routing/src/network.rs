// SPDX-License-Identifier: Apache-2.0
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// Reads addresses of clients or of this machine: `10.0.0.0/8`, `2001:db8::/32`, or one address.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn parse(value: &str) -> Result<IpNet, String> {
    let network = match value.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => value.parse::<IpNet>().map_err(|_| describe(value))?,
    };
    if network.addr() != network.network() {
        return Err(format!(
            "`{value}` has bits set behind its length; write `{}`",
            network.trunc()
        ));
    }
    if let Some(plain) = unmapped(network) {
        return Err(format!(
            "`{value}` is IPv4 written as IPv6; write `{plain}`"
        ));
    }
    Ok(network)
}

/// Whether `address` is in one of `networks`. One of IPv4 over an IPv6 socket is judged as IPv4.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

fn describe(value: &str) -> String {
    let wrong_length = value
        .split_once('/')
        .and_then(|(address, _)| address.parse::<IpAddr>().ok())
        .map(|address| if address.is_ipv4() { 32 } else { 128 });
    match wrong_length {
        Some(longest) => format!(
            "`{value}` has no valid length; write a number from 0 to {longest} behind the `/`"
        ),
        None => {
            format!("`{value}` is no network; write one such as `10.0.0.0/8` or `2001:db8::/32`")
        }
    }
}

fn unmapped(network: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let address = network.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
}
