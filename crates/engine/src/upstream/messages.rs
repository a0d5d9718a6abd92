// SPDX-License-Identifier: Apache-2.0
//! Messages of a WebSocket (RFC 6455), watched as they pass: where one ends, and what is said between them.

/// Status codes of RFC 6455 §7.4.1.
pub(crate) const GOING_AWAY: u16 = 1001;
pub(crate) const PROTOCOL_ERROR: u16 = 1002;
pub(crate) const TOO_BIG: u16 = 1009;

/// A ping to a client, without content.
pub(crate) const PING: &[u8] = &[0x89, 0];

const CLOSE: u8 = 8;

/// The longest head of a frame.
const HEAD: usize = 14;
/// The most that a control frame may hold. RFC 6455 §5.5.
const CONTROL: u64 = 125;

/// The frames of one direction.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the frame that are still to come behind its head.
    left: u64,
    /// Bytes of the message so far, as they come over the wire.
    message: u64,
    /// A message has begun and not ended.
    is_open: bool,
    is_from_client: bool,
    /// The most that a message may hold, if there is a limit.
    most: Option<u64>,
    /// What passes is no frames, or the last of them has passed.
    is_over: bool,
}

impl Frames {
    pub(crate) fn new(is_from_client: bool, most: Option<u64>) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left: 0,
            message: 0,
            is_open: false,
            is_from_client,
            most,
            is_over: false,
        }
    }

    /// Whether a frame of ours could stand here.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.is_over
    }

    /// Follows `bytes`, which are about to pass.
    ///
    /// # Errors
    /// Only with a limit: how many of them may pass, and the status code for what follows them.
    #[inline]
    pub(crate) fn see(&mut self, bytes: &[u8]) -> Result<(), (usize, u16)> {
        match self.is_one(bytes) {
            true => Ok(()),
            false => self.see_each(bytes),
        }
    }

    /// Whether `bytes` are one message in one frame, as most are, that may pass.
    #[inline]
    fn is_one(&self, bytes: &[u8]) -> bool {
        let &[first, second, third, fourth, ..] = bytes else {
            return false;
        };
        let (length, head) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([third, fourth])), 4),
            127 => return false,
            length => (usize::from(length), 2),
        };
        let is_masked = second & 0x80 != 0;
        let whole = head + length + if is_masked { 4 } else { 0 };
        // Text or binary, and final.
        matches!(first & 0x8f, 0x81 | 0x82)
            && is_masked == self.is_from_client
            && whole == bytes.len()
            && self.is_between()
            && !self.is_open
            && self.most.is_none_or(|most| length as u64 <= most)
    }

    /// Follows `bytes` frame by frame.
    fn see_each(&mut self, bytes: &[u8]) -> Result<(), (usize, u16)> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.left > 0 {
                let passing = self.left.min(rest.len() as u64);
                self.left -= passing;
                at += usize::try_from(passing).unwrap_or(rest.len());
                continue;
            }
            let missing = self.head_length() - self.have;
            let coming = rest.get(..missing.min(rest.len())).unwrap_or_default();
            if let Some(room) = self.head.get_mut(self.have..self.have + coming.len()) {
                room.copy_from_slice(coming);
            }
            self.have += coming.len();
            at += coming.len();
            if self.have < self.head_length() {
                continue;
            }
            let begun = at.saturating_sub(self.have);
            if let Err(code) = self.frame() {
                self.is_over = true;
                if self.most.is_some() {
                    // Where a part of the head has passed already, nothing can be said behind it.
                    self.is_over = at < self.have;
                    self.have = 0;
                    self.left = 0;
                    return Err((begun, code));
                }
            }
            self.have = 0;
        }
        Ok(())
    }

    /// How long the head is, as far as it has come. RFC 6455 §5.2.
    fn head_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    /// Begins a frame whose head is whole.
    fn frame(&mut self) -> Result<(), u16> {
        let [first, second, ..] = self.head;
        let (is_final, opcode, is_masked) = (first & 0x80 != 0, first & 0x0f, second & 0x80 != 0);
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&self.head[2..10]);
                u64::from_be_bytes(bytes)
            }
            length => u64::from(length),
        };
        if is_masked != self.is_from_client || length >> 63 != 0 {
            return Err(PROTOCOL_ERROR);
        }
        match opcode {
            0 if self.is_open => {}
            1 | 2 if !self.is_open => self.message = 0,
            8..=10 if is_final && length <= CONTROL => {
                self.left = length;
                // Nothing may be sent behind a close (§5.5.1); its reason passes unwatched.
                self.is_over = opcode == CLOSE;
                return Ok(());
            }
            _ => return Err(PROTOCOL_ERROR),
        }
        self.is_open = !is_final;
        self.message = self.message.saturating_add(length);
        if self.most.is_some_and(|most| self.message > most) {
            return Err(TOO_BIG);
        }
        self.left = length;
        Ok(())
    }
}

/// A close frame with `code`; of a client it is masked.
pub(crate) fn close(code: u16, mask: Option<u32>) -> Vec<u8> {
    let code = code.to_be_bytes();
    let mut frame = vec![0x80 | CLOSE];
    match mask {
        None => {
            frame.push(2);
            frame.extend_from_slice(&code);
        }
        Some(mask) => {
            let mask = mask.to_be_bytes();
            frame.push(0x82);
            frame.extend_from_slice(&mask);
            frame.extend(code.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a client, its mask all zeros.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(std::iter::repeat_n(7, length));
        bytes
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let whole: Vec<u8> = [
            frame(0x81, 5),
            frame(0x02, 200),
            frame(0x89, 3),
            frame(0x80, 70_000),
            frame(0x82, 0),
            frame(0xc1, 9),
        ]
        .concat();
        for step in [1, 2, 3, 7, 1000, whole.len()] {
            let mut frames = Frames::new(true, Some(70_200));
            for piece in whole.chunks(step) {
                assert_eq!(frames.see(piece), Ok(()), "{step}");
            }
            assert!(frames.is_between());
            assert_eq!(frames.see(&whole[..1]), Ok(()));
            assert!(!frames.is_between());
        }
    }

    #[test]
    fn a_message_in_one_frame_is_seen_at_once_as_it_is_bit_by_bit() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for first in [0x81, 0x82, 0xc2, 0x01, 0x00, 0x80, 0x88, 0x89] {
                for (is_from_client, most) in [(true, None), (true, Some(126)), (false, None)] {
                    let bytes = [frame(first, length), frame(0x80, 1)].concat();
                    let whole = bytes.len() - frame(0x80, 1).len();
                    let mut at_once = Frames::new(is_from_client, most);
                    let mut bit_by_bit = Frames::new(is_from_client, most);
                    for piece in [&bytes[..whole], &bytes[whole..]] {
                        let seen = at_once.see(piece);
                        assert_eq!(seen, bit_by_bit.see_each(piece), "{first:x} {length}");
                        assert_eq!(at_once.is_between(), bit_by_bit.is_between());
                    }
                }
            }
        }
    }

    #[test]
    fn a_message_beyond_the_limit_stops_before_the_frame_that_makes_it_so() {
        let first = frame(0x01, 60);
        let whole = [first.clone(), frame(0x80, 41)].concat();
        let mut frames = Frames::new(true, Some(100));
        assert_eq!(frames.see(&whole), Err((first.len(), TOO_BIG)));
        assert!(frames.is_between());
        // Its head has passed in part: nothing may be said behind that.
        let mut frames = Frames::new(true, Some(100));
        assert_eq!(frames.see(&whole[..=first.len()]), Ok(()));
        assert_eq!(frames.see(&whole[first.len() + 1..]), Err((0, TOO_BIG)));
        assert!(!frames.is_between());
    }

    #[test]
    fn what_is_no_frame_is_refused_where_there_is_a_limit() {
        let unmasked = [0x81, 1, 7];
        let wrong: [&[u8]; 8] = [
            &unmasked,
            &frame(0x83, 1),
            &frame(0x8b, 1),
            &frame(0x80, 1),
            &frame(0x09, 1),
            &frame(0x89, 126),
            &[frame(0x01, 1), frame(0x81, 1)].concat(),
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for bytes in wrong {
            let refused = Frames::new(true, Some(1000)).see(bytes);
            assert!(matches!(refused, Err((_, PROTOCOL_ERROR))), "{bytes:?}");
            let mut unlimited = Frames::new(true, None);
            assert_eq!(unlimited.see(bytes), Ok(()));
            assert!(!unlimited.is_between());
        }
        assert_eq!(Frames::new(false, Some(1)).see(&unmasked), Ok(()));
    }

    #[test]
    fn nothing_is_said_behind_a_close() {
        for mask in [None, Some(0x0102_0304)] {
            let mut frames = Frames::new(mask.is_some(), None);
            assert!(frames.is_between());
            assert_eq!(frames.see(&close(GOING_AWAY, mask)), Ok(()));
            assert!(!frames.is_between());
        }
        assert_eq!(close(TOO_BIG, None), [0x88, 2, 3, 0xf1]);
        assert_eq!(
            close(TOO_BIG, Some(0xff00_0000)),
            [0x88, 0x82, 0xff, 0, 0, 0, 0xfc, 0xf1]
        );
    }
}
