// SPDX-License-Identifier: Apache-2.0

/// Bytes before a message: flags, and its length in four.
const PREFIX: u8 = 5;
/// The one flag that gRPC has: the message is compressed.
const COMPRESSED: u8 = 1;

/// Where a message should begin there is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMessage;

/// Follows the messages of a stream of gRPC, however its bytes come: so that something else may stand
/// between two of them.
///
/// Wire form: FLAGS LENGTH MESSAGE, a byte, four bytes (big-endian), so many bytes.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// Bytes of a prefix that have come.
    have: u8,
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
}

impl Messages {
    /// Whether a message has ended, or none has begun.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Follows `bytes`, which are about to pass.
    ///
    /// # Errors
    /// Flags are none that messages have; that of trailers is none. What comes behind is not followed.
    pub fn see(&mut self, bytes: &[u8]) -> Result<(), BadMessage> {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            if self.left > 0 {
                let passing = rest.len().min(self.left as usize);
                // At most `left`, which is an u32.
                self.left -= passing as u32;
                rest = rest.get(passing..).unwrap_or_default();
                continue;
            }
            match self.have {
                0 if *first > COMPRESSED => return Err(BadMessage),
                0 => self.length = 0,
                _ => self.length = self.length << 8 | u32::from(*first),
            }
            self.have += 1;
            if self.have == PREFIX {
                (self.have, self.left) = (0, self.length);
            }
            rest = behind;
        }
        Ok(())
    }
}
