// SPDX-License-Identifier: Apache-2.0
//! What an attacker does: `name=value` words of the command line.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::command::{self, Command};
use crate::pipe::Security;

/// When a connection is left by the attacker, who then opens the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It stays until it is cut.
    Never,
    /// Once its handshake is done and its opening is sent.
    Sent,
    /// Once something came back.
    Answered,
}

/// What one attacker does.
pub struct Plan {
    /// The proxy's address.
    pub target: SocketAddrV4,
    /// How connections are secured; `None` sends bytes as they are.
    pub security: Option<Security>,
    /// Whether what comes back are frames of HTTP/2.
    pub is_http2: bool,
    /// What each connection begins with.
    pub opening: Vec<u8>,
    /// What connections go on with, over and over, each with another of these in turn; none for nothing.
    pub repeats: Vec<Vec<u8>>,
    /// By how much the streams' numbers in `repeats`, which are frames then, grow each time; 0 leaves them as they are.
    pub step: u32,
    /// Nanoseconds between two repeats; 0 for as many as the socket takes.
    pub every: u64,
    /// Bytes of the opening that are sent at a time, `every` so often; 0 for all at once.
    pub drip: usize,
    /// Repeats after which a connection is left; 0 for no end.
    pub rounds: u64,
    /// When it is left besides.
    pub leave: Leave,
    /// Whether what comes back is read.
    pub reads: bool,
    /// Connections at a time, or sockets that datagrams come from.
    pub connections: usize,
    /// Connections opened, or datagrams sent, a second; 0 for as many as can be.
    pub rate: u64,
    /// Addresses that they come from: 127.0.1.1 and those after it.
    pub sources: u32,
    /// Datagrams sent one after another, over and over; none attacks by TCP.
    pub datagrams: Vec<Vec<u8>>,
}

impl Plan {
    /// Reads the words after `attack`.
    ///
    /// # Errors
    /// A word is not known or a file cannot be read; says which.
    pub fn of(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            target: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            security: None,
            is_http2: false,
            opening: Vec::new(),
            repeats: Vec::new(),
            step: 0,
            every: 0,
            drip: 0,
            rounds: 0,
            leave: Leave::Never,
            reads: true,
            connections: 1,
            rate: 0,
            sources: 8,
            datagrams: Vec::new(),
        };
        let mut tls = String::new();
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("not name=value: {word}"))?;
            if name == "tls" {
                value.clone_into(&mut tls);
            } else {
                plan.set(name, value)
                    .map_err(|reason| format!("cannot set {name} to {value}: {reason}"))?;
            }
        }
        plan.security = secured(&tls, plan.is_http2)?;
        Ok(plan)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        fn put<T: std::str::FromStr>(slot: &mut T, value: &str) -> Result<(), String>
        where
            T::Err: std::fmt::Display,
        {
            *slot = value.parse().map_err(|error: T::Err| error.to_string())?;
            Ok(())
        }
        fn file(slot: &mut Vec<u8>, path: &str) -> Result<(), String> {
            *slot = std::fs::read(path).map_err(|error| error.to_string())?;
            Ok(())
        }
        match name {
            "target" => put(&mut self.target, value),
            "http2" => put(&mut self.is_http2, value),
            "opening" => file(&mut self.opening, value),
            "repeat" => {
                let mut whole = Vec::new();
                file(&mut whole, value)?;
                self.repeats.push(whole);
                Ok(())
            }
            "step" => put(&mut self.step, value),
            "every_ms" => {
                put(&mut self.every, value)?;
                self.every = self.every.saturating_mul(1_000_000);
                Ok(())
            }
            "drip" => put(&mut self.drip, value),
            "rounds" => put(&mut self.rounds, value),
            "reads" => put(&mut self.reads, value),
            "connections" => put(&mut self.connections, value),
            "rate" => put(&mut self.rate, value),
            "sources" => put(&mut self.sources, value),
            "leave" => {
                self.leave = match value {
                    "never" => Leave::Never,
                    "sent" => Leave::Sent,
                    "answered" => Leave::Answered,
                    _ => return Err("never, sent or answered".to_owned()),
                };
                Ok(())
            }
            "datagrams" => {
                let mut whole = Vec::new();
                file(&mut whole, value)?;
                self.datagrams = split(&whole);
                Ok(())
            }
            _ => Err("no such word".to_owned()),
        }
    }

    /// The address that connection or socket number `number` comes from.
    #[must_use]
    pub fn source(&self, number: u64) -> Ipv4Addr {
        let index = number % u64::from(self.sources.clamp(1, 60_000));
        let [.., high, low] = index.to_be_bytes();
        // From 127.0.1.0 on; the honest client is 127.0.0.1.
        Ipv4Addr::new(127, 1, high, low)
    }
}

/// Datagrams from a file: each after its length in two bytes.
fn split(mut whole: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = whole.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((datagram, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push(datagram.to_vec());
        whole = rest;
    }
    found
}

/// TLS that believes the authority in the file `authority`.
fn secured(authority: &str, is_http2: bool) -> Result<Option<Security>, String> {
    let line = format!("run tls={authority} streams={}", u8::from(is_http2));
    let Command::Run(plan) = command::parse(&line) else {
        return Err(format!("not a file: {authority}"));
    };
    Security::of(&plan).map_err(|error| format!("{authority}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Plan, String> {
        Plan::of(words.iter().map(ToString::to_string))
    }

    #[test]
    fn words_are_read_and_what_is_none_is_named() {
        let plan = read(&["connections=7", "every_ms=20", "leave=answered"]).unwrap();
        assert_eq!(
            (plan.connections, plan.every, plan.leave),
            (7, 20_000_000, Leave::Answered)
        );
        for word in ["speed=3", "connections", "leave=soon", "opening=/nowhere"] {
            assert!(read(&[word]).is_err(), "{word}");
        }
    }

    #[test]
    fn sources_are_many_and_none_is_the_honest_client() {
        let plan = read(&["sources=300"]).unwrap();
        assert_eq!(plan.source(0), Ipv4Addr::new(127, 1, 0, 0));
        assert_eq!(plan.source(299), Ipv4Addr::new(127, 1, 1, 43));
        assert_eq!(plan.source(300), plan.source(0));
    }

    #[test]
    fn datagrams_come_after_their_lengths() {
        assert_eq!(
            split(b"\0\x02ab\0\x01c\0\x09x"),
            [b"ab".to_vec(), b"c".to_vec()]
        );
    }
}
