// SPDX-License-Identifier: Apache-2.0
//! Connection identifiers that say to us, and to nobody else, which thread a connection belongs to.
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tidegate_core::Draw;

/// Bytes of an identifier: five drawn, then the thread and two that prove it, both hidden by a keyed hash
/// of the five.
const LENGTH: usize = 8;
const DRAWN: usize = 5;

/// Whose identifiers these are. Made once for the node: its threads know each other's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identifiers {
    key: RandomState,
}

impl Identifiers {
    fn mask(&self, drawn: [u8; DRAWN]) -> [u8; 3] {
        let [a, b, c, ..] = self.key.hash_one(drawn).to_be_bytes();
        [a, b, c]
    }

    fn made(&self, thread: u8, draw: &mut Draw) -> [u8; LENGTH] {
        let [a, b, c, d, e, ..] = draw.bits().to_be_bytes();
        let [x, y, z] = self.mask([a, b, c, d, e]);
        [a, b, c, d, e, x ^ thread, y, z]
    }

    /// The thread of an identifier; `None` when it is none of ours.
    fn thread(&self, identifier: &[u8]) -> Option<u8> {
        let identifier: [u8; LENGTH] = identifier.try_into().ok()?;
        let [a, b, c, d, e, thread, y, z] = identifier;
        let mask = self.mask([a, b, c, d, e]);
        (mask[1..] == [y, z]).then_some(mask[0] ^ thread)
    }

    /// The thread that a packet is for, by the connection identifier it is sent to (RFC 8999 §5); `None`
    /// when it is sent to none of ours, as a client's first.
    pub(super) fn thread_of(&self, packet: &[u8]) -> Option<usize> {
        let is_long = packet.first()? & 0x80 != 0;
        let identifier = match is_long {
            true => {
                let length = usize::from(*packet.get(5)?);
                packet.get(6..6 + length)?
            }
            false => packet.get(1..1 + LENGTH)?,
        };
        self.thread(identifier).map(usize::from)
    }

    /// What makes those of one thread.
    pub(super) fn of_thread(&self, thread: usize) -> Generator {
        Generator {
            all: self.clone(),
            thread: (thread & 0xff) as u8,
            draw: Draw::from_entropy(),
        }
    }
}

/// Makes the identifiers of one thread.
pub(super) struct Generator {
    all: Identifiers,
    thread: u8,
    draw: Draw,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.all.made(self.thread, &mut self.draw))
    }

    fn validate(&self, identifier: &ConnectionId) -> Result<(), InvalidCid> {
        match self.all.thread(identifier) {
            Some(_) => Ok(()),
            None => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_tells_its_thread_to_its_own_node_alone() {
        let (ours, theirs) = (Identifiers::default(), Identifiers::default());
        let mut strangers = 0;
        for thread in 0..=255 {
            let identifier = ours.of_thread(thread).generate_cid();
            assert_eq!(ours.thread(&identifier), Some(thread as u8));
            let short = [&[0x40][..], &identifier, &[0; 20]].concat();
            let long = [&[0xe0, 0, 0, 0, 1, 8][..], &identifier, &[0; 20]].concat();
            assert_eq!(ours.thread_of(&short), Some(thread));
            assert_eq!(ours.thread_of(&long), Some(thread));
            strangers += usize::from(theirs.thread_of(&short).is_some());
        }
        // Two bytes prove it: once in 65,536 it is taken for one.
        assert!(strangers < 3, "{strangers}");
        for packet in [
            &b""[..],
            &[0x40],
            &[0xc0, 0, 0, 0, 1],
            &[0xc0, 0, 0, 0, 1, 20, 1],
        ] {
            assert_eq!(ours.thread_of(packet), None);
        }
    }
}
