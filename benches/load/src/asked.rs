// SPDX-License-Identifier: Apache-2.0
//! One connection of the client: sends a request, reads and checks the answer.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};

use crate::command::Plan;
use crate::pipe::{Pipe, Security};
use crate::shuttle::{Moved, Token};
use crate::wire;

/// How often one request is sent again at most.
const MOST_TRIES: usize = 3;

/// Where a connection is in its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request is out.
    Free,
    /// The request goes out once the connection stands.
    Connecting,
    /// The request goes out once the proxy has said that messages may come.
    Switching,
    /// The answer's head is not whole.
    Head,
    /// This many bytes of the body have come.
    Body(usize),
    /// The answer is whole; the proxy said that it closes.
    Closing,
}

/// What a connection's bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to tell yet.
    More,
    /// The answer is whole.
    Answered {
        /// Its status.
        status: u16,
        /// Whether length and bytes of the body were right.
        right: bool,
    },
    /// The connection is over, as it should be: no answer was owed.
    Over,
    /// The connection is over and an answer was owed.
    Broken,
    /// The same without a byte of the answer: the request may be sent again, if it can be repeated.
    Closed,
}

/// One connection to the proxy.
pub struct Asked {
    pipe: Option<Pipe>,
    state: State,
    /// Requests and answers are messages of a WebSocket.
    websocket: bool,
    head: Vec<u8>,
    status: u16,
    length: usize,
    right: bool,
    close: bool,
    /// Bytes of the request that went out.
    gone: usize,
    /// How often the request was sent again.
    tries: usize,
    /// Bytes that went out and came in; whoever counts them takes them.
    pub moved: u64,
    /// When the request was due (fixed rate) or sent (closed loop), by [`crate::shuttle::nanoseconds`].
    pub since: u64,
    /// Which of the run's requests is out.
    pub request: usize,
}

impl Asked {
    /// A connection that is not open yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pipe: None,
            state: State::Free,
            websocket: false,
            head: Vec::new(),
            status: 0,
            length: 0,
            right: true,
            close: false,
            gone: 0,
            tries: 0,
            moved: 0,
            since: 0,
            request: 0,
        }
    }

    /// Whether the connection is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Whether an answer is owed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !matches!(self.state, State::Free | State::Closing)
    }

    /// Opens the connection if need be and sends `bytes`; true when it had to be opened.
    ///
    /// # Errors
    /// When no socket can be had or the proxy refuses at once.
    pub fn ask(
        &mut self,
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        security: Option<&Security>,
        bytes: &[u8],
    ) -> std::io::Result<bool> {
        let opened = self.pipe.is_none();
        if opened {
            let (pipe, stands) = Pipe::open(poll, Token::Asked(index), plan, security)?;
            self.pipe = Some(pipe);
            self.websocket = plan.websocket;
            if !stands || plan.websocket {
                self.state = State::Connecting;
                return Ok(true);
            }
        }
        self.send(bytes)?;
        Ok(opened)
    }

    /// Begins one request; what does not fit into the socket's buffer goes out as it empties.
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.state = State::Head;
        self.head.clear();
        self.right = true;
        self.close = false;
        self.gone = 0;
        if self.send_more(bytes) {
            return Ok(());
        }
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    /// Sends more of the request; false when the connection is broken.
    fn send_more(&mut self, bytes: &[u8]) -> bool {
        while let Some(rest) = bytes.get(self.gone..).filter(|rest| !rest.is_empty()) {
            match self.pipe.as_mut().map(|pipe| pipe.transmit(rest)) {
                Some(Moved::Bytes(count)) => {
                    self.gone += count;
                    self.moved += count as u64;
                }
                Some(Moved::Later) => return true,
                _ => return false,
            }
        }
        true
    }

    /// Moves on after an event; `bytes` is the request to send once the connection stands.
    pub fn advance(
        &mut self,
        flags: EventFlags,
        bytes: &[u8],
        expected: &[u8],
        buffer: &mut [u8],
    ) -> Progress {
        if self.state == State::Connecting {
            if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                return Progress::Closed;
            }
            if !flags.contains(EventFlags::OUT) {
                return Progress::More;
            }
            let begun = if self.websocket {
                self.send(wire::SWITCH)
            } else {
                self.send(bytes)
            };
            if begun.is_err() {
                return Progress::Closed;
            }
            if self.websocket {
                self.state = State::Switching;
            }
        } else if self.state == State::Head && flags.contains(EventFlags::OUT) {
            // When it breaks, an answer may have come before that; reading tells.
            self.send_more(bytes);
        }
        loop {
            let Some(pipe) = self.pipe.as_mut() else {
                return Progress::More;
            };
            let received = pipe.receive(buffer);
            pipe.flush();
            let count = match received {
                Moved::Bytes(count) => count,
                Moved::Later => return Progress::More,
                Moved::End | Moved::Broken if self.is_unanswered() => return Progress::Closed,
                Moved::End | Moved::Broken if self.is_waiting() => return Progress::Broken,
                Moved::End | Moved::Broken => return Progress::Over,
            };
            self.moved += count as u64;
            let got = buffer.get(..count).unwrap_or_default();
            let progress = if self.state == State::Switching {
                self.switch(got, bytes)
            } else {
                self.take(got, expected, bytes.len())
            };
            // A short read emptied the socket, unless the end may wait behind it.
            if progress != Progress::More
                || (count < buffer.len() && !flags.contains(EventFlags::RDHUP))
            {
                return progress;
            }
        }
    }

    /// Takes bytes of the answer to the handshake of a WebSocket, and sends the request `bytes` after it.
    fn switch(&mut self, got: &[u8], bytes: &[u8]) -> Progress {
        self.head.extend_from_slice(got);
        match wire::head_end(&self.head) {
            None => Progress::More,
            Some(end) if end == self.head.len() && wire::answer_head(&self.head).status == 101 => {
                if self.send(bytes).is_ok() {
                    Progress::More
                } else {
                    Progress::Broken
                }
            }
            Some(_) => Progress::Broken,
        }
    }

    /// Takes bytes of the answer.
    fn take(&mut self, mut bytes: &[u8], expected: &[u8], request: usize) -> Progress {
        if self.state == State::Head {
            let before = self.head.len();
            if before > 0 {
                self.head.extend_from_slice(bytes);
            }
            let whole = if before > 0 {
                self.head.as_slice()
            } else {
                bytes
            };
            let Some(end) = wire::head_end(whole) else {
                if before == 0 {
                    self.head.extend_from_slice(bytes);
                }
                return Progress::More;
            };
            let before_head = if self.websocket {
                wire::frame_head(whole).unwrap_or(end)
            } else {
                0
            };
            let found = wire::answer_head(whole.get(before_head..end).unwrap_or_default());
            bytes = bytes.get(end.saturating_sub(before)..).unwrap_or_default();
            self.status = found.status;
            self.close = found.close;
            self.length = found.length.unwrap_or(0);
            // Nobody may answer what has not come as a whole.
            self.right = found.length == Some(expected.len()) && self.gone == request;
            self.state = State::Body(0);
        }
        let State::Body(at) = self.state else {
            // Bytes that nobody asked for.
            return Progress::Broken;
        };
        self.right &= expected
            .get(at..at + bytes.len())
            .is_some_and(|part| part == bytes);
        let at = at + bytes.len();
        if at < self.length {
            self.state = State::Body(at);
            return Progress::More;
        }
        self.tries = 0;
        self.state = if self.close {
            State::Closing
        } else {
            State::Free
        };
        Progress::Answered {
            status: self.status,
            right: self.right && at == self.length,
        }
    }

    /// Whether an answer is owed of which nothing has come.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.state == State::Head && self.head.is_empty()
    }

    /// Whether the request may be sent once more; counts that it was.
    pub fn try_again(&mut self) -> bool {
        self.tries += 1;
        self.tries <= MOST_TRIES
    }

    /// Has its events come under another token, for a connection that is only kept.
    ///
    /// # Errors
    /// What the poll says.
    pub fn hold(&self, poll: &OwnedFd, index: usize) -> std::io::Result<()> {
        if let Some(pipe) = &self.pipe {
            let wanted = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            epoll::modify(poll, pipe.as_fd(), Token::Held(index).data(), wanted)?;
        }
        Ok(())
    }

    /// Whether the proxy said that it closes and has not yet.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Reads the end of a connection that is closing; true once it has come.
    pub fn has_ended(&mut self, buffer: &mut [u8]) -> bool {
        self.pipe
            .as_mut()
            .is_none_or(|pipe| pipe.receive(buffer) != Moved::Later)
    }

    /// Whether its TLS went on with a session of before.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.pipe.as_ref().is_some_and(Pipe::is_resumed)
    }

    /// Closes the connection; the next request opens another.
    pub fn shut(&mut self) {
        self.pipe = None;
        self.state = State::Free;
    }
}
