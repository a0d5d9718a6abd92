// SPDX-License-Identifier: Apache-2.0
//! What protects the first packets of a connection of QUIC (RFC 9001 §5.2): keys that anybody on the way
//! can derive, so that they hide nothing.
use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Version};

/// Version 2, RFC 9369.
pub const QUIC_VERSION_2: u32 = 0x6b33_43cf;
/// Bytes that a packet number takes at most (RFC 9000 §17.1).
const NUMBER: usize = 4;
/// Bytes of the sample that the header is unmasked by (RFC 9001 §5.4.2).
const SAMPLE: usize = 16;

/// The keys of a client's Initial packets.
pub struct InitialKeys(Keys);

impl InitialKeys {
    /// By the identifier that the client's first packet went to; `None` for a version that is not known.
    pub fn of_client(version: u32, destination: &[u8]) -> Option<Self> {
        let version = match version {
            crate::QUIC_VERSION => Version::V1,
            QUIC_VERSION_2 => Version::V2,
            _ => return None,
        };
        let suite = TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
        Some(Self(suite.keys(destination, Side::Server, version)))
    }

    /// Opens one packet, whose number begins at `at`; its frames. `None` when it was not sealed with these
    /// keys, or is no packet.
    pub fn open<'a>(&self, packet: &'a mut [u8], at: usize) -> Option<&'a [u8]> {
        let keys = &self.0.remote;
        let (head, rest) = packet.split_at_mut_checked(at)?;
        let (number, rest) = rest.split_at_mut_checked(NUMBER)?;
        let sample = rest.get(..SAMPLE)?;
        let first = head.first_mut()?;
        keys.header.decrypt_in_place(sample, first, number).ok()?;
        let length = usize::from(*first & 3) + 1;
        let written = number.iter().take(length);
        let number = written.fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let (header, payload) = packet.split_at_mut_checked(at.checked_add(length)?)?;
        keys.packet.decrypt_in_place(number, header, payload).ok()
    }
}
