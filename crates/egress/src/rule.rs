// SPDX-License-Identifier: Apache-2.0
use crate::class::{Class, embedded};
use ipnet::IpNet;
use std::net::IpAddr;

/// Hosts, addresses and ports: all that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// `*`, `name`, `*.name` (what is below it), `.name` (it as well); in lower case. Any if empty.
    pub hosts: Vec<String>,
    /// Any if empty.
    pub addresses: Vec<IpNet>,
    /// Any if empty, as far as the listener's ports go.
    pub ports: Vec<u16>,
    /// How it is written, for the log.
    pub text: String,
}

/// Where somebody wants to go.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The canonical host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether by CONNECT.
    pub is_tunnel: bool,
}

impl Aim<'_> {
    /// The address that the host is, if it is no name.
    pub fn literal(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[');
        let bare = bare.and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(self.host).parse().ok()
    }
}

/// Why somebody may not go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The port is not among those that are open.
    Port,
    /// A rule says so.
    Denied(String),
    /// There is a list of what is allowed, and it is not in it.
    NotAllowed,
    /// The address is none of the internet's, and no rule names it.
    Address(Class),
}

impl Refusal {
    /// For the log: the rule that refused.
    pub fn detail(&self) -> String {
        match self {
            Self::Port => "the port is not open".to_owned(),
            Self::Denied(rule) => format!("denied by `{rule}`"),
            Self::NotAllowed => "no rule of `allow` fits".to_owned(),
            Self::Address(class) => format!("the address is {}", class.name()),
        }
    }
}

/// What became of an aim.
pub type Verdict = Result<(), Refusal>;

/// The rules for one user.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// What is allowed; all of the internet if empty.
    pub allow: &'a [Rule],
    /// What is denied whatever else is said: the listener's, then the user's own.
    pub deny: [&'a [Rule]; 2],
    /// Ports of URLs, where no rule names others.
    pub ports: &'a [u16],
    /// Ports of CONNECT, likewise.
    pub tunnel_ports: &'a [u16],
}

impl Rule {
    /// Whether its hosts, if it has any, hold `host`.
    pub fn names(&self, host: &str) -> bool {
        let fits = |pattern: &String| {
            if pattern == "*" {
                return true;
            }
            if let Some(below) = pattern.strip_prefix('*') {
                return host.len() > below.len() && host.ends_with(below);
            }
            match pattern.strip_prefix('.') {
                Some(name) => host == name || host.ends_with(pattern.as_str()),
                None => host == pattern,
            }
        };
        self.hosts.is_empty() || self.hosts.iter().any(fits)
    }

    fn holds(&self, address: IpAddr) -> bool {
        let has = |address| {
            self.addresses
                .iter()
                .any(|network| network.contains(&address))
        };
        has(address) || embedded(address).is_some_and(has)
    }

    /// Whether it names `address` itself.
    fn is_exact(&self, address: IpAddr) -> bool {
        let inside = embedded(address).unwrap_or(address);
        let mut networks = self.addresses.iter();
        networks.any(|network| {
            network.prefix_len() == network.max_prefix_len()
                && (network.addr() == inside || network.addr() == address)
        })
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    /// Whether it fits whatever the address.
    fn may_fit(&self, aim: &Aim<'_>) -> bool {
        self.names(aim.host) && self.has_port(aim.port)
    }

    fn fits(&self, aim: &Aim<'_>, address: IpAddr) -> bool {
        self.may_fit(aim) && (self.addresses.is_empty() || self.holds(address))
    }
}

impl Judge<'_> {
    /// What can be said before the host is looked up: nobody is to be asked about it otherwise.
    ///
    /// # Errors
    /// The refusal.
    pub fn name(&self, aim: &Aim<'_>) -> Verdict {
        self.is_denied(|rule| rule.addresses.is_empty() && rule.may_fit(aim))?;
        let mut fit = self
            .allow
            .iter()
            .filter(|rule| rule.may_fit(aim))
            .peekable();
        if !self.allow.is_empty() && fit.peek().is_none() {
            return Err(Refusal::NotAllowed);
        }
        match self.is_open(aim) || fit.any(|rule| !rule.ports.is_empty()) {
            true => Ok(()),
            false => Err(Refusal::Port),
        }
    }

    /// Whether the very address that is to be connected to may be.
    ///
    /// # Errors
    /// The refusal.
    pub fn address(&self, aim: &Aim<'_>, address: IpAddr) -> Verdict {
        self.is_denied(|rule| rule.fits(aim, address))?;
        let fit: Vec<&Rule> = self
            .allow
            .iter()
            .filter(|rule| rule.fits(aim, address))
            .collect();
        if !self.allow.is_empty() && fit.is_empty() {
            return Err(Refusal::NotAllowed);
        }
        let class = Class::of(address);
        let mut named = fit.iter();
        let is_lifted = match class {
            Class::Public => true,
            Class::Metadata => named.any(|rule| rule.is_exact(address)),
            _ => named.any(|rule| !rule.addresses.is_empty()),
        };
        if !is_lifted {
            return Err(Refusal::Address(class));
        }
        match self.is_open(aim) || fit.iter().any(|rule| !rule.ports.is_empty()) {
            true => Ok(()),
            false => Err(Refusal::Port),
        }
    }

    fn is_open(&self, aim: &Aim<'_>) -> bool {
        let open = match aim.is_tunnel {
            true => self.tunnel_ports,
            false => self.ports,
        };
        open.contains(&aim.port)
    }

    fn is_denied(&self, fits: impl Fn(&Rule) -> bool) -> Verdict {
        let mut rules = self.deny.iter().flat_map(|rules| rules.iter());
        match rules.find(|rule| fits(rule)) {
            Some(rule) => Err(Refusal::Denied(rule.text.clone())),
            None => Ok(()),
        }
    }
}
