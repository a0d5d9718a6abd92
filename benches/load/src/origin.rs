// SPDX-License-Identifier: Apache-2.0
//! The origin server: answers every request with as many bytes as its path's last number says, once its body has come.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::called::{Called, PREFACE};
use crate::shuttle::{Moved, Token, receive, transmit};
use crate::wire::{self, CYCLE};

/// Whole answers by the size of their body, as they are and as messages of a WebSocket.
type Answers = HashMap<(usize, bool), Vec<u8>>;

/// One connection from a proxy.
struct Served {
    socket: OwnedFd,
    /// Bytes of a request whose head is not whole yet.
    unread: Vec<u8>,
    /// The request body that is being received.
    body: Option<Received>,
    /// Size asked and bytes already sent of the answer being written, if the socket was full.
    writing: Option<(usize, usize)>,
    /// Answers owed after the one being written (pipelined requests), as sizes; `None` for a wrong body.
    owed: Vec<Option<usize>>,
    /// Requests and answers are messages of a WebSocket.
    framed: bool,
    /// It began as HTTP/2.
    called: Option<Box<Called>>,
    /// The listener that it came from.
    listener: usize,
    /// Answers written.
    answers: u64,
}

/// A request body on its way.
struct Received {
    /// What the answer's body shall have.
    size: usize,
    length: usize,
    at: usize,
    is_right: bool,
}

/// The listening addresses and the connections accepted on them.
pub struct Origin {
    listeners: Vec<(OwnedFd, SocketAddr)>,
    /// Takes datagrams at the addresses of the listeners, each a request.
    datagrams: Vec<OwnedFd>,
    connections: Vec<Option<Served>>,
    free: Vec<usize>,
    answers: Answers,
    buffer: Vec<u8>,
    /// What bodies are compared with: at every place of the cycle as much as a read brings.
    pattern: Vec<u8>,
    /// Answers written by each listener's connections.
    answered: Vec<u64>,
}

impl Origin {
    /// Listens on `count` free loopback ports.
    ///
    /// # Errors
    /// What the kernel says when a socket cannot be had.
    pub fn listen(poll: &OwnedFd, count: usize) -> std::io::Result<Self> {
        let (mut listeners, mut datagrams) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (socket, datagram, address) = pair()?;
            epoll::add(poll, &socket, Token::Listener(index).data(), EventFlags::IN)?;
            epoll::add(
                poll,
                &datagram,
                Token::Datagram(index).data(),
                EventFlags::IN,
            )?;
            listeners.push((socket, address));
            datagrams.push(datagram);
        }
        let buffer = vec![0; 256 * 1024];
        let pattern = wire::body(buffer.len() + CYCLE);
        Ok(Self {
            listeners,
            datagrams,
            connections: Vec::new(),
            free: Vec::new(),
            answers: HashMap::new(),
            buffer,
            pattern,
            answered: vec![0; count],
        })
    }

    /// Answers that each address has written so far.
    #[must_use]
    pub fn answered(&self) -> &[u64] {
        &self.answered
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
                body: None,
                writing: None,
                owed: Vec::new(),
                framed: false,
                called: None,
                listener,
                answers: 0,
            };
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = Some(served);
            }
        }
        Ok(())
    }

    /// Answers the datagrams that wait at one address, a few dozen at a time.
    pub fn echo(&mut self, index: usize) {
        let Some(socket) = self.datagrams.get(index) else {
            return;
        };
        for _ in 0..64 {
            let Ok((count, _, Some(client))) =
                rustix::net::recvfrom(socket, &mut *self.buffer, RecvFlags::empty())
            else {
                return;
            };
            let size = wire::size_asked(self.buffer.get(..count).unwrap_or_default());
            let whole = self.answers.entry((size, false));
            let whole = whole.or_insert_with(|| wire::answer(size));
            // One that is lost is missed by who asked.
            let _ = rustix::net::sendto(socket, whole, SendFlags::empty(), &client);
            if let Some(count) = self.answered.get_mut(index) {
                *count += 1;
            }
        }
    }

    /// Reads and answers what one connection has ready; forgets it when the proxy closed it.
    pub fn serve(&mut self, index: usize, flags: EventFlags) {
        let Some(Some(served)) = self.connections.get_mut(index) else {
            return;
        };
        let before = served.answers;
        let goes_on = served.step(flags, &mut self.buffer, &self.pattern, &mut self.answers);
        if let Some(count) = self.answered.get_mut(served.listener) {
            *count += served.answers - before;
        }
        if !goes_on {
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = None;
            }
            self.free.push(index);
        }
    }
}

/// A socket that listens and one for datagrams, at one address of the loopback interface.
fn pair() -> std::io::Result<(OwnedFd, OwnedFd, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = |kind| rustix::net::socket_with(AddressFamily::INET, kind, flags, None);
    loop {
        let listening = socket(SocketType::STREAM)?;
        rustix::net::bind(&listening, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        rustix::net::listen(&listening, 4096)?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&listening)?)?;
        let datagrams = socket(SocketType::DGRAM)?;
        sockopt::set_socket_recv_buffer_size(&datagrams, 4 << 20)?;
        match rustix::net::bind(&datagrams, &address) {
            Ok(()) => return Ok((listening, datagrams, address)),
            // Another's datagrams go there.
            Err(Errno::ADDRINUSE) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Served {
    /// Moves the connection on; false when it is over.
    fn step(
        &mut self,
        flags: EventFlags,
        buffer: &mut [u8],
        pattern: &[u8],
        answers: &mut Answers,
    ) -> bool {
        if let Some(called) = self.called.as_mut() {
            let Some(answered) = called.write(&self.socket) else {
                return false;
            };
            self.answers += answered;
        } else if self.writing.is_some() && flags.contains(EventFlags::OUT) && !self.write(answers)
        {
            return false;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
        {
            return true;
        }
        loop {
            let count = match receive(&self.socket, buffer) {
                Moved::Bytes(count) => count,
                Moved::Later => return true,
                Moved::End | Moved::Broken => return false,
            };
            let Some(got) = buffer.get(..count) else {
                return false;
            };
            if self.called.is_none() && self.answers == 0 && got.starts_with(PREFACE) {
                self.called = Some(Box::new(Called::new()));
            }
            if let Some(called) = self.called.as_mut() {
                let (Some(taken), Some(written)) =
                    (called.take(got, pattern), called.write(&self.socket))
                else {
                    return false;
                };
                self.answers += taken + written;
                if count < buffer.len() {
                    return true;
                }
                continue;
            }
            if self.unread.is_empty() {
                self.take(got, pattern);
            } else {
                let mut whole = std::mem::take(&mut self.unread);
                whole.extend_from_slice(got);
                self.take(&whole, pattern);
            }
            if !self.write(answers) {
                return false;
            }
            // A short read emptied the socket; edge-triggered, the next byte raises an event.
            if count < buffer.len() {
                return true;
            }
        }
    }

    /// Takes requests, noting what each is owed; keeps a part of a head for the next time.
    fn take(&mut self, mut bytes: &[u8], pattern: &[u8]) {
        loop {
            if let Some(body) = &mut self.body {
                let count = bytes.len().min(body.length - body.at);
                let (part, rest) = bytes.split_at(count);
                body.take(part, pattern);
                bytes = rest;
                if body.at < body.length {
                    return;
                }
                self.owed.push(body.is_right.then_some(body.size));
                self.body = None;
            }
            let Some((head, rest)) =
                wire::head_end(bytes).and_then(|end| bytes.split_at_checked(end))
            else {
                self.unread.extend_from_slice(bytes);
                return;
            };
            bytes = rest;
            let before = if self.framed {
                wire::frame_head(head).unwrap_or(0)
            } else {
                0
            };
            let head = wire::request_head(head.get(before..).unwrap_or_default());
            if head.switches {
                // Nothing comes before the answer, which is small and goes out at once.
                self.framed = true;
                transmit(&self.socket, wire::SWITCHED);
                continue;
            }
            match head.length {
                None => self.owed.push(None),
                Some(0) => self.owed.push(Some(head.size)),
                Some(length) => {
                    self.body = Some(Received {
                        size: head.size,
                        length,
                        at: 0,
                        is_right: true,
                    });
                }
            }
        }
    }

    /// Writes what is owed until the socket is full; false when the connection is broken.
    fn write(&mut self, answers: &mut Answers) -> bool {
        loop {
            let (size, sent) = match self.writing {
                Some(state) => state,
                None if self.owed.is_empty() => return true,
                None => match self.owed.remove(0) {
                    Some(size) => (size, 0),
                    None => {
                        transmit(&self.socket, wire::WRONG_BODY);
                        return false;
                    }
                },
            };
            let whole = answers.entry((size, self.framed)).or_insert_with(|| {
                let whole = wire::answer(size);
                if self.framed {
                    wire::message(&whole, false)
                } else {
                    whole
                }
            });
            match transmit(&self.socket, whole.get(sent..).unwrap_or_default()) {
                Moved::Bytes(count) if sent + count >= whole.len() => {
                    self.writing = None;
                    self.answers += 1;
                }
                Moved::Bytes(count) => self.writing = Some((size, sent + count)),
                Moved::Later => {
                    self.writing = Some((size, sent));
                    return true;
                }
                Moved::End | Moved::Broken => return false,
            }
        }
    }
}

impl Received {
    /// Compares a part of the body with what was sent.
    fn take(&mut self, part: &[u8], pattern: &[u8]) {
        let mut part = part;
        while !part.is_empty() {
            let from = self.at % CYCLE;
            let count = part.len().min(pattern.len() - from);
            let (now, rest) = part.split_at(count);
            self.is_right &= pattern
                .get(from..from + count)
                .is_some_and(|right| right == now);
            self.at += count;
            part = rest;
        }
    }
}
