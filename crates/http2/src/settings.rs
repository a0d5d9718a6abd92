// SPDX-License-Identifier: Apache-2.0
use crate::frame;

/// Tokens for what is allowed now and then: `burst` at once, and `per_second` more in each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// At once.
    pub burst: u32,
    /// More in each second, until there are `burst` again.
    pub per_second: u32,
}

/// What a connection takes from its peer, and what it spends on it. The default of each field is
/// that of [`Settings::default`]. Sizes are in bytes, and all limits are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Streams that the peer may have open at a time (100). One more is refused by REFUSED_STREAM.
    pub concurrent_streams: u32,
    /// Content of a stream that the peer may send before it was released (256 KiB).
    pub stream_window: u32,
    /// Content of all streams that the peer may send before it was released (1 MiB). Not below
    /// 65,535: RFC 9113 §6.9.2 knows no way to lower it.
    pub connection_window: u32,
    /// A head or trailer section, decoded, each field with 32 bytes on top (32 KiB). RFC 9113 §6.5.2.
    /// A larger request is [`crate::Event::Refused`].
    pub header_size: u32,
    /// Fields of a head or trailer section, pseudo fields apart, each `cookie` counted (100).
    pub header_fields: usize,
    /// A head or trailer section as it comes over the wire (32 KiB). More ends the connection: what
    /// is not decoded would leave the two sides with different tables.
    pub header_block: usize,
    /// CONTINUATION frames of one head (8). More end the connection.
    pub continuations: u32,
    /// The table that the peer may keep here to compress heads (4 KiB).
    pub decoder_table: u32,
    /// The table that we keep to compress heads (2 KiB). The peer may allow less.
    pub encoder_table: u32,
    /// Output that waits to be written, before no more is taken (64 KiB). One head may be beyond.
    pub output: usize,
    /// Answers to control frames that wait to be written (8 KiB). More end the connection.
    pub control: usize,
    /// Streams that the client may reset, beside one for each that it let end (100, 33 a second).
    /// For servers: rapid reset, CVE-2023-44487. More end the connection.
    pub client_resets: Allowance,
    /// Streams that the peer may make us reset by its errors (50, 10 a second), CVE-2025-8671. More
    /// end the connection.
    pub provoked_resets: Allowance,
    /// Frames without use: SETTINGS (10 each), PING, PRIORITY, WINDOW_UPDATE beyond what was sent,
    /// empty DATA, CONTINUATION, frames that are ignored (1,000, 100 a second). Each head earns 5,
    /// each DATA frame that is sent 2. More end the connection.
    pub glitches: Allowance,
    /// Streams reset by us whose late frames are still told from errors (256).
    pub closed_streams: usize,
    /// Interim responses (1xx) that may come before the final one (8). For clients.
    pub informational: u8,
    /// Whether the peer may use `:protocol`: extended CONNECT, RFC 8441 (false). For servers.
    pub connect_protocol: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrent_streams: 100,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            header_size: 32 << 10,
            header_fields: 100,
            header_block: 32 << 10,
            continuations: 8,
            decoder_table: 4096,
            encoder_table: 2048,
            output: 64 << 10,
            control: 8 << 10,
            client_resets: Allowance {
                burst: 100,
                per_second: 33,
            },
            provoked_resets: Allowance {
                burst: 50,
                per_second: 10,
            },
            glitches: Allowance {
                burst: 1000,
                per_second: 100,
            },
            closed_streams: 256,
            informational: 8,
            connect_protocol: false,
        }
    }
}

/// What the peer said in SETTINGS. RFC 9113 §6.5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSettings {
    pub(crate) concurrent_streams: u32,
    pub(crate) window: u32,
    pub(crate) max_frame: u32,
    pub(crate) header_size: u32,
    pub(crate) connect_protocol: bool,
}

impl Default for PeerSettings {
    /// Before any. Of streams there is no limit then; 100 is what a peer is advised to allow.
    fn default() -> Self {
        Self {
            concurrent_streams: 100,
            window: frame::DEFAULT_WINDOW,
            max_frame: frame::MIN_MAX_FRAME,
            header_size: u32::MAX,
            connect_protocol: false,
        }
    }
}
