// SPDX-License-Identifier: Apache-2.0
//! Commands on standard input: one a line, a word and `name=value` pairs.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventFlags};

use crate::shuttle::Token;

/// What one `run` or `idle` asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The proxy's address.
    pub target: SocketAddrV4,
    /// `Host` of each request.
    pub host: String,
    /// Path of each request; `{}` in it is replaced by a number below `paths`.
    pub path: String,
    /// Body length that an answer must have.
    pub size: usize,
    /// Body length of each request; 0 asks by GET.
    pub sent: usize,
    /// Connections kept open at once.
    pub connections: usize,
    /// How many different paths are asked in turn, at least 1.
    pub paths: usize,
    /// Requests a second over all connections; 0 sends the next as soon as the last is answered.
    pub rate: f64,
    /// Seconds before the window that counts.
    pub warm: f64,
    /// Seconds of the window.
    pub seconds: f64,
    /// One connection per request.
    pub close: bool,
    /// Keeps the connections that `idle` opened.
    pub beside: bool,
    /// Asks again on a new connection, three times at most, when one closes before the first byte of an answer, as
    /// RFC 9110 §9.2.2 lets clients do; counted as `again`.
    pub retry: bool,
    /// A file with the certificate of the authority that signed the proxy's; empty for plain connections.
    pub tls: String,
    /// Inside of TLS: goes on with sessions of before.
    pub resume: bool,
    /// HTTP/2 with so many requests at a time on each connection; 0 for HTTP/1.1.
    pub streams: usize,
    /// HTTP/3 instead of HTTP/2.
    pub http3: bool,
    /// Requests and answers are messages of a WebSocket.
    pub websocket: bool,
    /// Requests are unary calls of gRPC, over HTTP/2; those of a connection must fit into its first window of 64 KiB.
    pub grpc: bool,
    /// Requests and answers are datagrams, each whole in one.
    pub datagrams: bool,
    /// Only opens the connections, asks once on each and keeps them.
    pub idle: bool,
}

/// One line of input.
#[derive(Debug)]
pub enum Command {
    /// No whole line yet.
    None,
    /// Standard input is closed.
    End,
    /// Begin a run, or open idle connections.
    Run(Plan),
    /// Close the idle connections.
    Drop,
    /// Say how many log lines came.
    Lines,
    /// Not a command; says why.
    Bad(String),
}

/// Standard input, read when the poll says so.
pub struct Input {
    pending: Vec<u8>,
}

impl Input {
    /// Watches standard input.
    ///
    /// # Errors
    /// When the poll refuses it; a plain file cannot be polled, so commands come through a pipe.
    pub fn watch(poll: &OwnedFd) -> std::io::Result<Self> {
        epoll::add(poll, std::io::stdin(), Token::Input.data(), EventFlags::IN)?;
        Ok(Self {
            pending: Vec::new(),
        })
    }

    /// Reads once; the controlling side sends one command and awaits its answer, so one line at a time comes.
    ///
    /// # Errors
    /// When standard input cannot be read.
    pub fn next(&mut self) -> std::io::Result<Command> {
        let mut buffer = [0; 4096];
        let count = rustix::io::read(std::io::stdin(), &mut buffer)?;
        if count == 0 {
            return Ok(Command::End);
        }
        self.pending
            .extend_from_slice(buffer.get(..count).unwrap_or_default());
        let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') else {
            return Ok(Command::None);
        };
        let line: Vec<u8> = self.pending.drain(..=end).collect();
        Ok(parse(String::from_utf8_lossy(&line).trim()))
    }
}

/// Reads one line.
pub fn parse(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let idle = match words.next() {
        Some("run") => false,
        Some("idle") => true,
        Some("drop") => return Command::Drop,
        Some("lines") => return Command::Lines,
        other => return Command::Bad(format!("no such command: {}", other.unwrap_or_default())),
    };
    let mut plan = Plan {
        target: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0),
        host: "bench.example".to_owned(),
        path: "/b/128".to_owned(),
        size: 128,
        sent: 0,
        connections: 64,
        paths: 1,
        rate: 0.0,
        warm: 1.0,
        seconds: 5.0,
        close: false,
        beside: false,
        retry: false,
        tls: String::new(),
        resume: false,
        streams: 0,
        http3: false,
        websocket: false,
        grpc: false,
        datagrams: false,
        idle,
    };
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Command::Bad(format!("not name=value: {word}"));
        };
        if !set(&mut plan, name, value) {
            return Command::Bad(format!("cannot set {name} to {value}"));
        }
    }
    Command::Run(plan)
}

/// Sets one value; false when name or value is none.
fn set(plan: &mut Plan, name: &str, value: &str) -> bool {
    fn put<T: std::str::FromStr>(slot: &mut T, value: &str) -> bool {
        value.parse().map(|parsed| *slot = parsed).is_ok()
    }
    fn flag(slot: &mut bool, value: &str) -> bool {
        *slot = value == "1";
        matches!(value, "0" | "1")
    }
    match name {
        "target" => put(&mut plan.target, value),
        "host" => put(&mut plan.host, value),
        "path" => put(&mut plan.path, value),
        "size" => put(&mut plan.size, value),
        "sent" => put(&mut plan.sent, value),
        "connections" => put(&mut plan.connections, value) && plan.connections > 0,
        "paths" => put(&mut plan.paths, value) && plan.paths > 0,
        "rate" => put(&mut plan.rate, value) && plan.rate.is_finite() && plan.rate >= 0.0,
        "warm" => put(&mut plan.warm, value) && (0.0..=600.0).contains(&plan.warm),
        "seconds" => put(&mut plan.seconds, value) && (0.0..=600.0).contains(&plan.seconds),
        "close" => flag(&mut plan.close, value),
        "beside" => flag(&mut plan.beside, value),
        "retry" => flag(&mut plan.retry, value),
        "tls" => put(&mut plan.tls, value),
        "resume" => flag(&mut plan.resume, value),
        "streams" => put(&mut plan.streams, value) && plan.streams <= 100,
        "http3" => flag(&mut plan.http3, value),
        "websocket" => flag(&mut plan.websocket, value),
        "grpc" => flag(&mut plan.grpc, value),
        "datagrams" => flag(&mut plan.datagrams, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_with_its_values() {
        let Command::Run(plan) =
            parse("run target=127.0.0.1:80 rate=2500 close=1 paths=1000 path=/r{}/b/64")
        else {
            panic!("not a run");
        };
        assert_eq!(
            (plan.target.port(), plan.paths, plan.close, plan.idle),
            (80, 1000, true, false)
        );
        assert!((plan.rate - 2500.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_no_command_is_named() {
        for line in [
            "walk",
            "run target=here",
            "run speed=3",
            "run connections=0",
            "run rate",
            "idle close=yes",
        ] {
            assert!(matches!(parse(line), Command::Bad(_)), "{line}");
        }
    }
}
