// SPDX-License-Identifier: Apache-2.0
use crate::frame::{Frame, WINDOW};
use crate::{
    Body, Frames, Malformed, RequestParts, TooLarge, WorkerMessage, encode_cancel, encode_request,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Where an exchange stands, seen from the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Sent; nothing came back.
    Sent,
    /// Let pass with `wants_response`; a change or another response comes.
    Passed,
    /// The response's body arrives; so many bytes of it may still come before a credit.
    Streaming(u32),
}

/// One message for one exchange.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The number that [`Client::begin`] gave; 0 for the connection itself.
    pub exchange: u32,
    /// What the worker said.
    pub message: WorkerMessage<'a>,
    /// The frame it came in, for who has to keep it.
    pub frame: Frame<'a>,
    /// Whether nothing more comes for this exchange; its number is free again.
    pub is_last: bool,
}

/// An exchange that ended with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number.
    pub exchange: u32,
    /// Whether the worker may have begun it. When not, it may go to another worker, whatever its
    /// method.
    pub may_have_begun: bool,
}

/// The node's half of one connection, without the socket: numbers, order of messages, windows.
///
/// The caller writes what the methods append, reads into [`Client::space`] and then takes events
/// until there are none.
#[derive(Debug, Default)]
pub struct Client {
    frames: Frames,
    exchanges: HashMap<u32, Phase>,
    last: u32,
    capacity: Option<u32>,
    is_closing: bool,
    begun: Option<Vec<u32>>,
}

impl Client {
    /// A connection on which nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a request and answers its number.
    ///
    /// # Errors
    /// [`TooLarge`] as in [`encode_request`]; nothing was appended and no number was taken.
    pub fn begin<'f>(
        &mut self,
        out: &mut Vec<u8>,
        parts: &RequestParts<'_>,
        parameters: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: Body<'_>,
    ) -> Result<u32, TooLarge> {
        let mut exchange = self.last;
        loop {
            exchange = exchange.wrapping_add(1);
            // After four billion exchanges a slow old one may still hold its number.
            if exchange != 0 && !self.exchanges.contains_key(&exchange) {
                break;
            }
        }
        encode_request(out, exchange, parts, parameters, fields, body)?;
        self.last = exchange;
        self.exchanges.insert(exchange, Phase::Sent);
        Ok(exchange)
    }

    /// Gives an exchange up: appends a cancel, and what still comes for it is dropped. Does nothing
    /// for one that has ended.
    pub fn cancel(&mut self, out: &mut Vec<u8>, exchange: u32) {
        if self.exchanges.remove(&exchange).is_some() {
            encode_cancel(out, exchange);
        }
    }

    /// Appends credit for `bytes` of the response's body that went on to the client. Does nothing
    /// for an exchange that has ended.
    pub fn credit(&mut self, out: &mut Vec<u8>, exchange: u32, bytes: u32) {
        if let Some(Phase::Streaming(room)) = self.exchanges.get_mut(&exchange) {
            *room = room.saturating_add(bytes);
            crate::encode_credit(out, exchange, bytes);
        }
    }

    /// Room to read `count` bytes into; see [`Frames::space`].
    pub fn space(&mut self, count: usize) -> &mut [u8] {
        self.frames.space(count)
    }

    /// So many bytes were read; see [`Frames::filled`].
    pub fn filled(&mut self, count: usize) {
        self.frames.filled(count);
    }

    /// The next message, or `None` until more bytes come.
    ///
    /// # Errors
    /// A frame that breaks the protocol, or a message out of its order or beyond its window. Close
    /// the connection and ask [`Client::lost`].
    #[allow(clippy::should_implement_trait)] // the item borrows from self
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Malformed> {
        let cut = loop {
            match self.frames.cut()? {
                None => return Ok(None),
                // What comes for a cancelled exchange is dropped.
                Some(cut) if cut.exchange != 0 && !self.exchanges.contains_key(&cut.exchange) => {}
                Some(cut) => break cut,
            }
        };
        let exchange = cut.exchange;
        let frame = self.frames.frame(cut);
        let message = WorkerMessage::decode(frame)?;
        if exchange == 0 {
            match &message {
                WorkerMessage::Ready { capacity } => self.capacity = Some(*capacity),
                WorkerMessage::Closing => self.is_closing = true,
                WorkerMessage::Fatal { begun } => self.begun = Some(numbers(begun)),
                _ => return Err(Malformed("a message without its exchange")),
            }
            return Ok(Some(Event {
                exchange,
                message,
                frame,
                is_last: false,
            }));
        }
        let Entry::Occupied(mut entry) = self.exchanges.entry(exchange) else {
            return Ok(None);
        };
        let next = advance(*entry.get(), &message)?;
        match next {
            Some(next) => *entry.get_mut() = next,
            None => drop(entry.remove()),
        }
        Ok(Some(Event {
            exchange,
            message,
            frame,
            is_last: next.is_none(),
        }))
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> usize {
        self.exchanges.len()
    }

    /// How many exchanges the worker works on at once, once it has said so.
    pub fn capacity(&self) -> Option<u32> {
        self.capacity
    }

    /// Whether the worker takes no new exchanges on this connection.
    pub fn is_closing(&self) -> bool {
        self.is_closing || self.begun.is_some()
    }

    /// The connection ended: every exchange that was in flight, and whether it may be sent again.
    pub fn lost(&mut self) -> Vec<Lost> {
        let begun = self.begun.take();
        let may_have_begun = |exchange: u32, phase: Phase| match &begun {
            Some(list) => phase != Phase::Sent || list.contains(&exchange),
            None => true, // it died without a word
        };
        let mut lost: Vec<Lost> = self
            .exchanges
            .drain()
            .map(|(exchange, phase)| Lost {
                exchange,
                may_have_begun: may_have_begun(exchange, phase),
            })
            .collect();
        lost.sort_by_key(|lost| lost.exchange);
        lost
    }
}

fn numbers(list: &[u8]) -> Vec<u32> {
    list.as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_be_bytes(*bytes))
        .collect()
}

/// The phase after a message; `None` when the exchange is over.
fn advance(phase: Phase, message: &WorkerMessage<'_>) -> Result<Option<Phase>, Malformed> {
    match (phase, message) {
        (Phase::Sent, WorkerMessage::Continue { wants_response, .. }) => {
            Ok(wants_response.then_some(Phase::Passed))
        }
        (
            Phase::Sent | Phase::Passed,
            WorkerMessage::Respond {
                body, body_follows, ..
            },
        ) => Ok(body_follows.then_some(Phase::Streaming(WINDOW.saturating_sub(body.len() as u32)))),
        (Phase::Passed, WorkerMessage::Changes(_)) => Ok(None),
        (Phase::Streaming(room), WorkerMessage::Body { bytes, is_last }) => {
            let left = room
                .checked_sub(bytes.len() as u32)
                .ok_or(Malformed("a body beyond its window"))?;
            Ok((!is_last).then_some(Phase::Streaming(left)))
        }
        (_, WorkerMessage::Error(_)) => Ok(None),
        (_, WorkerMessage::Credit(_) | WorkerMessage::BodyWanted) => Ok(Some(phase)),
        _ => Err(Malformed("a message out of order")),
    }
}
