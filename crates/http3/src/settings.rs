// SPDX-License-Identifier: Apache-2.0
use tidegate_http2::Allowance;

/// What a connection takes from its peer. The default of each field is that of [`Settings::default`].
/// Sizes are in bytes, and all limits are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A head or trailer section, decoded, each field with 32 bytes on top (32 KiB). RFC 9114 §4.2.2.
    /// A larger request is [`crate::Part::Refused`].
    pub header_size: usize,
    /// Fields of a section, pseudo fields apart, each `cookie` counted (100).
    pub header_fields: usize,
    /// A section as it comes over the wire (32 KiB). A larger one is passed over, and refused as well.
    pub header_block: usize,
    /// Requests that the client may give up, beside one for each that it let end (100, 33 a second).
    /// More end the connection.
    pub client_resets: Allowance,
    /// Streams that the client may make us reset by its errors (50, 10 a second). More end the
    /// connection.
    pub provoked_resets: Allowance,
    /// What is of no use: frames and streams of unknown types, PRIORITY_UPDATE, CANCEL_PUSH,
    /// MAX_PUSH_ID, GOAWAY, empty DATA, instructions of QPACK (1,000, 100 a second). Each head earns
    /// 5. More end the connection.
    pub glitches: Allowance,
    /// Whether the client may use `:protocol`: extended CONNECT, RFC 9220 (true).
    pub connect_protocol: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_size: 32 << 10,
            header_fields: 100,
            header_block: 32 << 10,
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
            connect_protocol: true,
        }
    }
}
