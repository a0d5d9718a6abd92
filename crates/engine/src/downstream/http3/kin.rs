// SPDX-License-Identifier: Apache-2.0
//! Packets of the connections of another node: of the one that this one has replaced, or that has replaced it.
use super::endpoint::Endpoint;
use crate::thread::{Origin, Parcel};
use std::rc::Rc;
use tidegate_net::{Arrival, LongKind, long_header};
use tidegate_tls::QUIC_VERSION;

/// Where in a connection a packet has its place, as far as that is in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It may begin one.
    Begins,
    /// There must be one.
    GoesOn,
    /// It is of a version that is not spoken, or none of QUIC.
    Strange,
}

impl Stage {
    pub(super) fn of(packet: &[u8]) -> Self {
        if packet.first().is_some_and(|first| first & 0x80 == 0) {
            return Self::GoesOn;
        }
        let header = long_header(packet).filter(|header| header.version == QUIC_VERSION);
        match header.and_then(|header| header.kind) {
            Some(LongKind::Initial | LongKind::ZeroRtt) => Self::Begins,
            Some(LongKind::Handshake) => Self::GoesOn,
            Some(LongKind::Retry) | None => Self::Strange,
        }
    }
}

impl Endpoint {
    /// Leaves the socket to another node that has it as well: from here on it is read there.
    pub(crate) fn leave(&self) {
        self.stop_reading();
        self.close();
    }

    /// Ends the connections at once, as nobody brings their packets: so their clients begin anew at the other
    /// node and do not wait for nobody.
    pub(crate) fn abandon(&self) {
        for shared in self.connections.borrow().values() {
            shared.leave();
        }
    }

    /// Has the connections look whether they are wanted.
    pub(crate) fn wake_connections(&self) {
        for shared in self.connections.borrow().values() {
            shared.wake_driver();
        }
    }

    /// Takes what another node sends.
    pub(crate) fn receive_from(self: &Rc<Self>, origin: Origin, parcel: &Parcel<'_>) {
        self.refresh();
        self.sort(self.now(), origin, parcel.arrival, parcel.bytes);
    }

    /// Whether the node before this one is asked for a packet that is sent to no identifier of ours: here it
    /// would begin a connection.
    pub(super) fn is_asked_for(&self, origin: Origin, arrival: Arrival, packet: &[u8]) -> bool {
        let kin = &self.thread.kin;
        kin.has_elder()
            && !kin.has_left()
            && Stage::of(packet) == Stage::Begins
            && kin.asks(origin, &self.parcel(arrival, packet))
    }

    /// Whether a packet that no connection is there for is left to another node.
    pub(super) fn is_elsewhere(&self, origin: Origin, arrival: Arrival, packet: &[u8]) -> bool {
        let kin = &self.thread.kin;
        if !kin.has_elder() && !kin.has_left() {
            return false;
        }
        let parcel = self.parcel(arrival, packet);
        match Stage::of(packet) {
            Stage::Begins => kin.passes(origin, &parcel),
            // It is nobody's if it is not the elder's: what nobody knows need not come back.
            Stage::GoesOn => kin.asks(origin, &parcel) || kin.has_left(),
            Stage::Strange => kin.has_left() && kin.passes(origin, &parcel),
        }
    }

    fn parcel<'a>(&'a self, arrival: Arrival, packet: &'a [u8]) -> Parcel<'a> {
        Parcel {
            key: &self.key,
            arrival,
            stride: packet.len(),
            bytes: packet,
            is_strict: false,
        }
    }
}
