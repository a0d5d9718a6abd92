// SPDX-License-Identifier: Apache-2.0
//! Whose connection it is, where a proxy in front says so, and what endpoints are told of it.
use super::connection::{Downstream, peer_text};
use super::seat::Seat;
use crate::thread::Thread;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use tidegate_core::ErrorKind;
use tidegate_net::{Announced, Peer};
use tidegate_telemetry::{LogEntry, TEXTS, Text};

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Downstream {
    /// Takes the word of a proxy in front for whose connection it is; false when that one has as many
    /// as it may.
    pub(crate) fn announce(&mut self, announced: &Announced) -> bool {
        let address = announced.source.ip().to_canonical();
        let is_trusted = self.thread.current().snapshot.settings.is_trusted(address);
        let limit = self.listener.config.limits.connections_per_address;
        let per_address = if is_trusted { 0 } else { limit };
        let counted = self.listener.counted.clone();
        // It was let in; from here on it counts as its client's.
        if !counted.enter(address, u32::MAX, per_address) {
            return false;
        }
        let thread = self.thread.clone();
        self.seat = Some(Seat::new(thread, counted, address, per_address));
        self.peer = Peer::Ip(canonical(announced.source));
        self.peer_text = peer_text(self.peer);
        self.dialled(Some(Box::new(canonical(announced.destination))));
        true
    }

    pub(super) fn dialled(&mut self, announced: Option<Box<SocketAddr>>) {
        if let Some(address) = &announced {
            self.local = OnceCell::from(Some(address.ip()));
        }
        self.announced = announced;
    }

    /// Whether the listener takes the client's connections.
    pub(crate) fn is_admitted(&self) -> bool {
        self.peer == Peer::Unix || self.listener.admission.admits(self.peer.address())
    }

    /// The address that was dialled, as a proxy in front has said or the kernel does; `None` on a Unix
    /// socket.
    pub(crate) fn dialled_address(&self) -> Option<IpAddr> {
        match &self.announced {
            Some(announced) => Some(announced.ip()),
            None => self.stream.local_address(),
        }
    }

    /// Whose connection it is, for endpoints that are told; `None` on a Unix socket.
    pub(crate) fn ends(&self) -> Option<Announced> {
        let Peer::Ip(source) = self.peer else {
            return None;
        };
        let destination = match &self.announced {
            Some(announced) => **announced,
            None => SocketAddr::new(self.stream.local_address()?, self.listener.config.port),
        };
        Some(Announced {
            source,
            destination,
        })
    }

    /// Says in the log that there will be no connection, and why.
    pub(crate) fn log_refused(&self, kind: ErrorKind, detail: &str) {
        let client = self.peer.address();
        log_refused(&self.thread, client, &self.listener.name, kind, detail);
    }
}

/// Has the log tell of a connection that was not taken. It is no request, and not counted as one.
pub(super) fn log_refused(
    thread: &Thread,
    client: IpAddr,
    listener: &str,
    kind: ErrorKind,
    detail: &str,
) {
    let mut entry = LogEntry::new(client);
    entry.error = Some(kind);
    entry.wall_micros = thread.clock.wall_micros(thread.now());
    entry.snapshot = thread.current().snapshot.number;
    let mut id = String::new();
    thread.request_id(&mut id);
    let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
    for (which, text) in [
        (Text::RequestId, id.as_str()),
        (Text::Listener, listener),
        (Text::Detail, detail),
    ] {
        if let Some(slot) = texts.get_mut(which as usize) {
            *slot = text.as_bytes();
        }
    }
    thread.log(entry, texts);
}
