// SPDX-License-Identifier: Apache-2.0
//! Load generator and origin server in one thread on one epoll, for the whole-program benchmarks.
//!
//! Both ends share a loop so that they cost less than the proxy between them: two processes on the other core would
//! pay a context switch per batch and become the bottleneck. The process lives as long as the benchmark, because the
//! proxies keep their connections to the origin server between rounds.
//!
//! It reads one command a line on standard input and prints one JSON object a line:
//! - at start `{"origins":["127.0.0.1:PORT",...],"sink":"127.0.0.1:PORT"}`, the latter takes logs over TCP
//! - `run target=IP:PORT host=NAME path=/b/128 size=128 sent=0 connections=64 warm=1 seconds=5 rate=0 paths=1 close=0
//!   beside=0 retry=0 tls= resume=0 streams=0 http3=0 websocket=0 grpc=0
//!   datagrams=0` prints `{"phase":"begin"}` when the warm-up is over, `{"phase":"end"}` when the window is, then the result
//! - `idle target=IP:PORT host=NAME path=/b/128 size=128 connections=9000` opens connections, gets one answer on each,
//!   prints `{"idle":N,"errors":N}` and keeps them open until `drop` or a run that is not `beside=1`; `drop` prints `{"dropped":N}`
//! - `lines` prints `{"lines":N}`, the log lines received so far
//! - end of input ends the process.
//!
//! With arguments it attacks instead: `attack/mod.rs`.
//!
//! Start reading at `client.rs`.
#![forbid(unsafe_code)]

mod asked;
mod attack;
mod called;
mod client;
mod command;
mod origin;
mod pipe;
mod quic;
mod report;
mod run;
mod session;
mod shuttle;
mod sink;
mod wire;

use std::io::Write as _;

use rustix::event::Timespec;
use rustix::event::epoll;

use crate::client::Client;
use crate::command::{Command, Input};
use crate::origin::Origin;
use crate::shuttle::{Token, nanoseconds};
use crate::sink::Sink;

/// Connections asked of the origin server are spread over this many addresses, as over two endpoints of a backend.
///
/// The third is for the case that adds and removes an endpoint.
const ORIGIN_ADDRESSES: usize = 3;

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("attack") {
        return attack::run(words);
    }
    // A request due every 100 µs must not wait for the kernel's default slack of 50.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut origin = Origin::listen(&poll, ORIGIN_ADDRESSES)?;
    let mut sink = Sink::listen(&poll)?;
    let mut input = Input::watch(&poll)?;
    let mut client = Client::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(512);
    let addresses: Vec<String> = origin
        .addresses()
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    print(&format!(
        "{{\"origins\":[{}],\"sink\":\"{}\"}}",
        addresses.join(","),
        sink.address()
    ));
    loop {
        let pause = client.until_due(nanoseconds());
        let timeout = pause.map(|wait| Timespec {
            tv_sec: i64::try_from(wait / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(wait % 1_000_000_000).unwrap_or(0),
        });
        events.clear();
        match epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (flags, data) = (event.flags, event.data.u64());
            match Token::of(data) {
                Token::Input => match input.next()? {
                    Command::None => {}
                    Command::End => return Ok(()),
                    Command::Bad(reason) => print(&format!("{{\"error\":\"{reason}\"}}")),
                    Command::Drop => print(&format!("{{\"dropped\":{}}}", client.drop_idle())),
                    Command::Lines => print(&format!("{{\"lines\":{}}}", sink.lines())),
                    Command::Run(plan) => {
                        if let Err(error) = client.start(&poll, plan) {
                            print(&format!("{{\"error\":\"{error}\"}}"));
                        }
                    }
                },
                Token::Listener(index) => origin.accept(&poll, index)?,
                Token::Datagram(index) => origin.echo(index),
                Token::Served(index) => origin.serve(index, flags),
                Token::SinkListener => sink.accept(&poll)?,
                Token::Sink(index) => sink.take(index),
                Token::Held(index) => client.held(index),
                Token::Asked(index) => client.advance(&poll, index, flags),
                Token::Shared(index) => client.advance_shared(&poll, index),
            }
        }
        for line in client.tick(&poll, nanoseconds(), origin.answered()) {
            print(&line);
        }
    }
}

/// Prints one line at once: the reader measures the moment it arrives.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that is gone ends us through the end of standard input.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
