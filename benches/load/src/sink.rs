// SPDX-License-Identifier: Apache-2.0
//! A log receiver: takes what a proxy logs over TCP, counts the lines and drops them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::shuttle::{Moved, Token, receive};

/// The listening address and the connections accepted on it.
pub struct Sink {
    listener: OwnedFd,
    address: SocketAddr,
    connections: Vec<Option<OwnedFd>>,
    lines: u64,
    buffer: Vec<u8>,
}

impl Sink {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// What the kernel says when a socket cannot be had.
    pub fn listen(poll: &OwnedFd) -> std::io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        rustix::net::listen(&listener, 16)?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&listener)?)?;
        epoll::add(poll, &listener, Token::SinkListener.data(), EventFlags::IN)?;
        Ok(Self {
            listener,
            address,
            connections: Vec::new(),
            lines: 0,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Where proxies send their logs.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lines received so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Accepts everything that waits.
    ///
    /// # Errors
    /// What the poll says when it takes no more sockets.
    pub fn accept(&mut self, poll: &OwnedFd) -> std::io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            let token = Token::Sink(self.connections.len());
            epoll::add(poll, socket.as_fd(), token.data(), EventFlags::IN)?;
            self.connections.push(Some(socket));
        }
        Ok(())
    }

    /// Takes what one connection has; the poll is level-triggered here, so one read a turn is enough.
    pub fn take(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else {
            return;
        };
        let Some(socket) = slot.as_ref() else { return };
        match receive(socket, &mut self.buffer) {
            Moved::Bytes(count) => {
                let got = self.buffer.get(..count).unwrap_or_default();
                self.lines += memchr::memchr_iter(b'\n', got).count() as u64;
            }
            Moved::Later => {}
            Moved::End | Moved::Broken => *slot = None,
        }
    }
}
