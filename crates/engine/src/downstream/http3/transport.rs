// SPDX-License-Identifier: Apache-2.0
//! What is asked of QUIC, and what it may hold.
use crate::snapshot::ListenerPlan;
use quinn_proto::{IdleTimeout, ServerConfig, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;
use tidegate_tls::QuicAcceptance;

/// Content of one stream, and of all, that may wait here for endpoints.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 192 << 10;
/// What was sent and is not acknowledged yet.
const SEND_WINDOW: u64 = 96 << 10;
/// Streams at a time that a client has for itself alone: it needs three.
const UNIDIRECTIONAL: u32 = 8;
/// How long nothing may come of a client before it is taken to be gone. One whose request is under way is
/// asked for a sign of life before that.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes of a handshake that come out of order.
const CRYPTO: usize = 16 << 10;

/// What QUIC may hold of one connection besides its exchanges: windows, and some for itself.
pub(super) const HELD: usize = (CONNECTION_WINDOW as usize) + (SEND_WINDOW as usize) + (16 << 10);

/// How connections of a listener are spoken with; `None` when it has no HTTP/3.
pub(super) fn config(plan: &ListenerPlan, before: Option<&ServerConfig>) -> Option<ServerConfig> {
    let tls = plan.tls.as_ref()?;
    let crypto = QuicAcceptance::new(tls.acceptance.clone())?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(plan.config.limits.streams.into()))
        .max_concurrent_uni_streams(VarInt::from_u32(UNIDIRECTIONAL))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .crypto_buffer_size(CRYPTO)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(SILENCE).ok());
    let mut config = match before {
        // The keys of tokens stay: who was asked to come back with one may be on the way.
        Some(before) => before.clone(),
        None => ServerConfig::with_crypto(crypto.clone()),
    };
    config.crypto = crypto;
    config.transport = Arc::new(transport);
    Some(config)
}
