// SPDX-License-Identifier: Apache-2.0
//! The origin server: answers every GET with as many bytes as its path's last number says.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::shuttle::{Moved, Token, receive, transmit};
use crate::wire;

/// One connection from a proxy.
struct Served {
    socket: OwnedFd,
    /// Bytes of a request whose head is not whole yet.
    unread: Vec<u8>,
    /// Size asked and bytes already sent of the answer being written, if the socket was full.
    writing: Option<(usize, usize)>,
    /// Answers owed after the one being written (pipelined requests), as sizes.
    owed: Vec<usize>,
}

/// The listening addresses and the connections accepted on them.
pub struct Origin {
    listeners: Vec<(OwnedFd, SocketAddr)>,
    connections: Vec<Option<Served>>,
    free: Vec<usize>,
    answers: HashMap<usize, Vec<u8>>,
    buffer: Vec<u8>,
}

impl Origin {
    /// Listens on `count` free loopback ports.
    ///
    /// # Errors
    /// What the kernel says when a socket cannot be had.
    pub fn listen(poll: &OwnedFd, count: usize) -> std::io::Result<Self> {
        let mut listeners = Vec::new();
        for index in 0..count {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            rustix::net::listen(&socket, 4096)?;
            let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
            epoll::add(poll, &socket, Token::Listener(index).data(), EventFlags::IN)?;
            listeners.push((socket, address));
        }
        let buffer = vec![0; 64 * 1024];
        Ok(Self {
            listeners,
            connections: Vec::new(),
            free: Vec::new(),
            answers: HashMap::new(),
            buffer,
        })
    }

    /// The addresses, in the order of their listeners.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, address)| *address).collect()
    }

    /// Accepts everything that waits on one listener.
    ///
    /// # Errors
    /// What the poll says when it takes no more sockets. A connection that is gone again is no error.
    pub fn accept(&mut self, poll: &OwnedFd, listener: usize) -> std::io::Result<()> {
        let Some((listening, _)) = self.listeners.get(listener) else {
            return Ok(());
        };
        while let Ok(socket) =
            rustix::net::accept_with(listening, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            sockopt::set_tcp_nodelay(&socket, true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(poll, socket.as_fd(), Token::Served(index).data(), wanted)?;
            let served = Served {
                socket,
                unread: Vec::new(),
                writing: None,
                owed: Vec::new(),
            };
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = Some(served);
            }
        }
        Ok(())
    }

    /// Reads and answers what one connection has ready; forgets it when the proxy closed it.
    pub fn serve(&mut self, index: usize, flags: EventFlags) {
        let Some(Some(served)) = self.connections.get_mut(index) else {
            return;
        };
        if !step(served, flags, &mut self.buffer, &mut self.answers) {
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = None;
            }
            self.free.push(index);
        }
    }
}

/// Moves one connection on; false when it is over.
fn step(
    served: &mut Served,
    flags: EventFlags,
    buffer: &mut [u8],
    answers: &mut HashMap<usize, Vec<u8>>,
) -> bool {
    if served.writing.is_some() && flags.contains(EventFlags::OUT) && !write(served, answers) {
        return false;
    }
    if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
        return true;
    }
    loop {
        let count = match receive(&served.socket, buffer) {
            Moved::Bytes(count) => count,
            Moved::Later => return true,
            Moved::End | Moved::Broken => return false,
        };
        let Some(got) = buffer.get(..count) else {
            return false;
        };
        if served.unread.is_empty() {
            let left = heads(got, &mut served.owed);
            served.unread.extend_from_slice(left);
        } else {
            served.unread.extend_from_slice(got);
            let left = heads(&served.unread, &mut served.owed).len();
            served.unread.drain(..served.unread.len() - left);
        }
        if !write(served, answers) {
            return false;
        }
        // A short read emptied the socket; edge-triggered, the next byte raises an event.
        if count < buffer.len() {
            return true;
        }
    }
}

/// Takes whole request heads off the front of `bytes`, noting the size each asks for; returns the rest.
fn heads<'a>(mut bytes: &'a [u8], owed: &mut Vec<usize>) -> &'a [u8] {
    while let Some((head, rest)) = wire::head_end(bytes).and_then(|end| bytes.split_at_checked(end))
    {
        owed.push(wire::size_asked(head));
        bytes = rest;
    }
    bytes
}

/// Writes what is owed until the socket is full; false when the connection is broken.
fn write(served: &mut Served, answers: &mut HashMap<usize, Vec<u8>>) -> bool {
    loop {
        let (size, sent) = match served.writing {
            Some(state) => state,
            None if served.owed.is_empty() => return true,
            None => (served.owed.remove(0), 0),
        };
        let whole = answers.entry(size).or_insert_with(|| wire::answer(size));
        match transmit(&served.socket, whole.get(sent..).unwrap_or_default()) {
            Moved::Bytes(count) if sent + count >= whole.len() => served.writing = None,
            Moved::Bytes(count) => served.writing = Some((size, sent + count)),
            Moved::Later => {
                served.writing = Some((size, sent));
                return true;
            }
            Moved::End | Moved::Broken => return false,
        }
    }
}
