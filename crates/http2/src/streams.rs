// SPDX-License-Identifier: Apache-2.0
use std::collections::VecDeque;

/// Whether a stream waits to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing waits.
    None,
    /// In the queue, for room in the output or the connection's window.
    Queued,
    /// Out of the queue: its own window is used up.
    Stalled,
    /// Its turn has come.
    Granted,
}

/// A stream that is open or half closed. RFC 9113 §5.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    /// What we may send. Below zero after a setting that lowered it.
    pub(crate) send_window: i64,
    /// What the peer may send.
    pub(crate) receive_window: i64,
    /// Handed to the caller and not yet released.
    pub(crate) held: u32,
    /// Released and not yet told to the peer.
    pub(crate) credit: u32,
    /// By how much its window is larger than the one that streams begin with.
    pub(crate) widened: u32,
    /// Content still to come as `content-length` said.
    pub(crate) expected: Option<u64>,
    pub(crate) turn: Turn,
    /// It waits to send a head or trailers, which need no window.
    pub(crate) waits_for_head: bool,
    pub(crate) remote_ended: bool,
    pub(crate) local_ended: bool,
    /// The final head was received.
    pub(crate) head_received: bool,
    /// The final head was sent.
    pub(crate) head_sent: bool,
    /// A request by HEAD: its response has no content whatever its fields say.
    pub(crate) is_head: bool,
    /// Interim responses received.
    pub(crate) informational: u8,
}

impl Stream {
    pub(crate) fn new(id: u32, send_window: u32, receive_window: u32) -> Self {
        Self {
            id,
            send_window: i64::from(send_window),
            receive_window: i64::from(receive_window),
            held: 0,
            credit: 0,
            widened: 0,
            expected: None,
            turn: Turn::None,
            waits_for_head: false,
            remote_ended: false,
            local_ended: false,
            head_received: false,
            head_sent: false,
            is_head: false,
            informational: 0,
        }
    }
}

/// The streams that are not closed, in the order of their identifiers; which of the closed ones
/// were reset here; and whose turn it is to send.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    live: Vec<Stream>,
    reset: VecDeque<u32>,
    most_reset: usize,
    queue: VecDeque<u32>,
}

impl Streams {
    pub(crate) fn new(most_reset: usize) -> Self {
        Self {
            most_reset,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    #[inline]
    fn place(&self, id: u32) -> Option<usize> {
        // Most often it is the last or one of few.
        match self.live.last() {
            Some(last) if last.id == id => Some(self.live.len() - 1),
            _ => self.live.binary_search_by_key(&id, |stream| stream.id).ok(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&Stream> {
        self.live.get(self.place(id)?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id)?;
        self.live.get_mut(place)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.live.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.live.iter_mut()
    }

    /// Adds a stream whose identifier is above all others.
    pub(crate) fn open(&mut self, stream: Stream) {
        self.live.push(stream);
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Stream> {
        let place = self.place(id)?;
        let stream = self.live.remove(place);
        if self.live.is_empty() {
            self.queue.clear();
        }
        Some(stream)
    }

    /// Notes that we reset `id`: what the peer sent before it knew is no error.
    pub(crate) fn note_reset(&mut self, id: u32) {
        if self.reset.len() >= self.most_reset {
            self.reset.pop_front();
        }
        if self.most_reset > 0 {
            self.reset.push_back(id);
        }
    }

    /// Whether `id` is known to have been reset here.
    pub(crate) fn was_reset(&self, id: u32) -> bool {
        self.reset.contains(&id)
    }

    /// Whether a stream waits for its turn.
    #[inline]
    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Puts `id` at the end of the queue, if it is not in it.
    pub(crate) fn enqueue(&mut self, id: u32) {
        if let Some(stream) = self.get_mut(id)
            && stream.turn != Turn::Queued
        {
            stream.turn = Turn::Queued;
            self.queue.push_back(id);
        }
    }

    /// Takes the next from the queue that may send. Without a connection window only those that
    /// wait for a head may, and the others keep their places.
    pub(crate) fn grant(&mut self, has_window: bool) -> Option<u32> {
        let mut place = 0;
        while let Some(&id) = self.queue.get(place) {
            let Some(stream) = self.get_mut(id) else {
                self.queue.remove(place);
                continue;
            };
            if stream.turn != Turn::Queued {
                self.queue.remove(place);
                continue;
            }
            if stream.waits_for_head || (has_window && stream.send_window > 0) {
                stream.turn = Turn::Granted;
                self.queue.remove(place);
                return Some(id);
            }
            if stream.send_window <= 0 {
                stream.turn = Turn::Stalled;
                self.queue.remove(place);
                continue;
            }
            place += 1;
        }
        None
    }

    pub(crate) fn memory(&self) -> usize {
        self.live.capacity() * size_of::<Stream>()
            + (self.reset.capacity() + self.queue.capacity()) * size_of::<u32>()
    }
}
