// SPDX-License-Identifier: Apache-2.0
use tidegate_core::{base64_group, base64_value};

/// A digit that base64 does not have, or padding where none can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadText;

/// How far a group of four has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Group {
    #[default]
    Empty,
    /// Digits, and the bits of the last one that have not been given out.
    One(u8),
    Two(u8),
    Three(u8),
    /// Two digits and one `=`.
    Padded,
}

/// Decodes base64 (RFC 4648 §4) piece by piece, in place. Padding may stand inside: writers end a piece
/// with it wherever they flush.
#[derive(Clone, Debug, Default)]
pub struct TextDecoder {
    group: Group,
}

impl TextDecoder {
    /// Decodes what stands in `text` from `from` on; what is left there are bytes.
    ///
    /// # Errors
    /// What is no base64. `text` is then cut at `from`.
    pub fn decode(&mut self, text: &mut Vec<u8>, from: usize) -> Result<(), BadText> {
        // A digit gives a byte at most: what is written never overtakes what is read.
        let mut end = from;
        for at in from..text.len() {
            let digit = text.get(at).copied().unwrap_or_default();
            let Ok(byte) = self.digit(digit) else {
                text.truncate(from);
                return Err(BadText);
            };
            if let (Some(byte), Some(place)) = (byte, text.get_mut(end)) {
                *place = byte;
                end += 1;
            }
        }
        text.truncate(end);
        Ok(())
    }

    /// Whether a group has ended, or none has begun: the text may end here.
    pub fn is_between(&self) -> bool {
        self.group == Group::Empty
    }

    fn digit(&mut self, digit: u8) -> Result<Option<u8>, BadText> {
        if digit == b'=' {
            self.group = match self.group {
                Group::Two(_) => Group::Padded,
                Group::Three(_) | Group::Padded => Group::Empty,
                Group::Empty | Group::One(_) => return Err(BadText),
            };
            return Ok(None);
        }
        let value = base64_value(digit, *b"+/").ok_or(BadText)?;
        let (group, byte) = match self.group {
            Group::Empty => (Group::One(value), None),
            Group::One(bits) => (Group::Two(value & 0xf), Some(bits << 2 | value >> 4)),
            Group::Two(bits) => (Group::Three(value & 0x3), Some(bits << 4 | value >> 2)),
            Group::Three(bits) => (Group::Empty, Some(bits << 6 | value)),
            Group::Padded => return Err(BadText),
        };
        self.group = group;
        Ok(byte)
    }
}

/// Encodes base64 piece by piece. Up to two bytes wait for more, so that padding stands only where it is
/// asked to be.
#[derive(Clone, Debug, Default)]
pub struct TextEncoder {
    held: [u8; 2],
    have: usize,
}

impl TextEncoder {
    /// Appends `bytes` to `out`; with `flushes` all of them, padded.
    pub fn encode(&mut self, bytes: &[u8], flushes: bool, out: &mut Vec<u8>) {
        let mut group = [self.held[0], self.held[1], 0];
        let mut have = self.have;
        for byte in bytes {
            if let Some(place) = group.get_mut(have) {
                *place = *byte;
            }
            have += 1;
            if have == group.len() {
                out.extend_from_slice(&base64_group(&group));
                have = 0;
            }
        }
        if flushes && have > 0 {
            out.extend_from_slice(&base64_group(group.get(..have).unwrap_or_default()));
            have = 0;
        }
        self.held = [group[0], group[1]];
        self.have = have;
    }
}
