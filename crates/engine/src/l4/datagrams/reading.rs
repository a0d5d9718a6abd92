// SPDX-License-Identifier: Apache-2.0
//! Connections of QUIC whose first message is not whole yet, and their packets, which wait for it.
use super::port::Key;
use std::collections::{HashMap, VecDeque};
use tidegate_core::Moment;
use tidegate_net::{Hello, InitialReader, LongKind, QuicId, Read};

/// How long packets wait for the rest of a first message. Clients send what is lost again within a second.
const WAIT_MS: u64 = 3000;
/// Packets of one connection that wait: its first message has two or three, and data may come along.
const PACKETS: usize = 16;
/// Connections that wait at one socket; the oldest makes room, as floods never end and others do at once.
const CONNECTIONS: usize = 1024;
/// Bytes that may wait at one socket, likewise.
const BYTES: usize = 4 << 20;

/// A connection, by who began it and the identifier it was begun with.
pub(super) type Begun = (Key, QuicId);

/// A datagram that waits, with its two bits of ECN.
pub(super) type Held = (Vec<u8>, u8);

/// What becomes of a connection.
pub(super) enum Heard {
    /// Its packets may go on, where its ClientHello says.
    Hello(Hello, Vec<Held>),
    /// More is to come.
    More,
    /// It can not be read: it is like other datagrams.
    Unread(Vec<Held>),
}

struct Reading {
    reader: Option<InitialReader>,
    held: Vec<Held>,
    bytes: usize,
    since: Moment,
    /// It is in the order of those that wait.
    is_queued: bool,
}

/// Those of one socket.
#[derive(Default)]
pub(super) struct Readings {
    by_id: HashMap<Begun, Reading>,
    /// In the order they began, with those that are over.
    order: VecDeque<(Begun, Moment)>,
    bytes: usize,
}

impl Readings {
    /// Takes a packet of a connection that nothing is known of.
    pub(super) fn take(
        &mut self,
        begun: Begun,
        version: u32,
        kind: LongKind,
        (packet, ecn): (&[u8], u8),
        now: Moment,
    ) -> Heard {
        let reading = self.by_id.entry(begun).or_insert_with(|| Reading {
            reader: None,
            held: Vec::new(),
            bytes: 0,
            since: now,
            is_queued: false,
        });
        let before = reading.bytes;
        if reading.held.len() < PACKETS {
            reading.held.push((packet.to_vec(), ecn));
        }
        let mut read = Read::More;
        if kind == LongKind::Initial {
            if reading.reader.is_none() {
                reading.reader = InitialReader::new(version, begun.1);
            }
            read = match &mut reading.reader {
                Some(reader) => reader.take(packet),
                None => Read::Foreign,
            };
        }
        let is_first = reading.held.len() < 2;
        let held = reading.held.iter().map(|(packet, _)| packet.len());
        let size = reading.reader.as_ref().map_or(0, InitialReader::size);
        reading.bytes = held.sum::<usize>() + size;
        self.bytes = self.bytes - before + reading.bytes;
        match read {
            Read::Hello(hello) => return Heard::Hello(hello, self.end(&begun)),
            Read::Malformed => return Heard::Unread(self.end(&begun)),
            Read::Foreign if is_first => return Heard::Unread(self.end(&begun)),
            // Somebody else's among those of a connection that is well: its endpoint will throw it away.
            Read::Foreign | Read::More => {}
        }
        if !std::mem::replace(&mut reading.is_queued, true) {
            self.order.push_back((begun, now));
        }
        Heard::More
    }

    /// Whether packets of it wait.
    pub(super) fn knows(&self, begun: &Begun) -> bool {
        self.by_id.contains_key(begun)
    }

    /// All that waits, by whom it came from.
    pub(super) fn into_held(self) -> impl Iterator<Item = (Key, Held)> {
        let each = self.by_id.into_iter();
        each.flat_map(|((key, _), reading)| reading.held.into_iter().map(move |held| (key, held)))
    }

    fn end(&mut self, begun: &Begun) -> Vec<Held> {
        let Some(reading) = self.by_id.remove(begun) else {
            return Vec::new();
        };
        self.bytes = self.bytes.saturating_sub(reading.bytes);
        reading.held
    }

    /// Lets go of those that have waited for too long, and of the oldest beyond the limits; how many of each.
    pub(super) fn sweep(&mut self, now: Moment) -> (u64, u64) {
        let (mut late, mut many) = (0, 0);
        if self.order.len() > 2 * CONNECTIONS {
            let is_there = |(begun, since): &(Begun, Moment)| {
                let reading = self.by_id.get(begun);
                reading.is_some_and(|reading| reading.since == *since)
            };
            self.order.retain(is_there);
        }
        while let Some((begun, since)) = self.order.front().copied() {
            let is_late = now >= since.after_millis(WAIT_MS);
            let is_over_limits = self.by_id.len() > CONNECTIONS || self.bytes > BYTES;
            let reading = self.by_id.get(&begun);
            let is_there = reading.is_some_and(|reading| reading.since == since);
            if is_there && !is_late && !is_over_limits {
                break;
            }
            self.order.pop_front();
            if is_there {
                self.end(&begun);
                match is_late {
                    true => late += 1,
                    false => many += 1,
                }
            }
        }
        (late, many)
    }

    /// When [`Self::sweep`] has something to do next.
    pub(super) fn due(&self) -> Option<Moment> {
        let (_, since) = self.order.front()?;
        Some(since.after_millis(WAIT_MS))
    }
}
