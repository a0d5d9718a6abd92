// SPDX-License-Identifier: Apache-2.0
//! Frames of HTTP/2 as an attacker sees them (RFC 9113 §4.1): numbers to write, codes to count.

use std::collections::BTreeMap;

const HEAD: usize = 9;

/// Where the streams' numbers are in `frames`, for those that are not 0.
#[must_use]
pub fn numbers(frames: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some([high, middle, low, _, _, stream @ ..]) =
        frames.get(at..).and_then(|rest| rest.first_chunk::<HEAD>())
    {
        if *stream != [0; 4] {
            found.push(at + 5);
        }
        at += HEAD + usize::from(*high) * 65_536 + usize::from(*middle) * 256 + usize::from(*low);
    }
    found
}

/// Adds `by` to the streams' numbers at `places`; false when there is none as large.
pub fn renumber(frames: &mut [u8], places: &[usize], by: u32) -> bool {
    places.iter().all(|place| {
        let slot = frames
            .get_mut(*place..)
            .and_then(|rest| rest.first_chunk_mut::<4>());
        slot.is_some_and(|slot| {
            let number = u32::from_be_bytes(*slot).saturating_add(by);
            *slot = number.to_be_bytes();
            number < 1 << 31
        })
    })
}

/// What came back, counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Heads of answers; not those of HTTP/1.1.
    pub heads: u64,
    /// Streams that were reset, by code.
    pub resets: BTreeMap<u32, u64>,
    /// Ends of connections, by code.
    pub goaways: BTreeMap<u32, u64>,
    /// First answers of HTTP/1.1, by status.
    pub statuses: BTreeMap<u32, u64>,
}

/// Reads the frames of one connection as they come.
#[derive(Debug, Default)]
pub struct Reader {
    /// A frame's head and the first bytes of its payload, as far as they are here.
    begun: Vec<u8>,
    /// Bytes of a payload to be passed over.
    rest: usize,
    /// Whether the first bytes were looked at.
    has_begun: bool,
}

impl Reader {
    /// Takes what came.
    pub fn take(&mut self, mut bytes: &[u8], is_http2: bool, counts: &mut Counts) {
        if !is_http2 {
            if !std::mem::replace(&mut self.has_begun, true)
                && let Some(status) = status(bytes)
            {
                *counts.statuses.entry(status).or_default() += 1;
            }
            return;
        }
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            // A code is in the first eight bytes of a payload.
            let wanted = match *self.begun.as_slice() {
                [high, middle, low, ..] if self.begun.len() >= HEAD => {
                    HEAD + length(high, middle, low).min(8)
                }
                _ => HEAD,
            };
            let missing = wanted.saturating_sub(self.begun.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.begun.extend_from_slice(now);
            bytes = later;
            self.judge(counts);
        }
    }

    /// Counts a frame of which enough is here.
    fn judge(&mut self, counts: &mut Counts) {
        let Some(([high, middle, low, kind, ..], payload)) = self.begun.split_first_chunk::<HEAD>()
        else {
            return;
        };
        let whole = length(*high, *middle, *low);
        if payload.len() < whole.min(8) {
            return;
        }
        let code = |at: usize| {
            let found = payload.get(at..).and_then(|rest| rest.first_chunk());
            found.map_or(u32::MAX, |code| u32::from_be_bytes(*code))
        };
        match kind {
            1 => counts.heads += 1,
            3 => *counts.resets.entry(code(0)).or_default() += 1,
            7 => *counts.goaways.entry(code(4)).or_default() += 1,
            _ => {}
        }
        self.rest = whole.saturating_sub(payload.len());
        self.begun.clear();
    }
}

fn length(high: u8, middle: u8, low: u8) -> usize {
    usize::from(high) * 65_536 + usize::from(middle) * 256 + usize::from(low)
}

/// The status of an answer of HTTP/1.1.
fn status(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut whole = vec![high, middle, low, kind, 0];
        whole.extend_from_slice(&stream.to_be_bytes());
        whole.extend_from_slice(payload);
        whole
    }

    #[test]
    fn numbers_of_streams_grow_and_those_of_the_connection_stay() {
        let mut frames = [
            frame(1, 1, b"head"),
            frame(6, 0, &[0; 8]),
            frame(3, 1, &[0; 4]),
        ]
        .concat();
        let places = numbers(&frames);
        assert!(renumber(&mut frames, &places, 6));
        assert_eq!(
            frames,
            [
                frame(1, 7, b"head"),
                frame(6, 0, &[0; 8]),
                frame(3, 7, &[0; 4])
            ]
            .concat()
        );
        assert!(!renumber(&mut frames, &places, 1 << 31));
    }

    #[test]
    fn codes_are_counted_however_bytes_come() {
        let all = [
            frame(4, 0, &[]),
            frame(1, 1, &[0x88; 20]),
            frame(3, 1, &[0, 0, 0, 8]),
            frame(0, 3, &[7; 300]),
            frame(7, 0, &[0, 0, 0, 0, 0, 0, 0, 11, 1, 2]),
        ]
        .concat();
        for size in [1, 2, 7, 1000] {
            let (mut counts, mut reader) = (Counts::default(), Reader::default());
            for piece in all.chunks(size) {
                reader.take(piece, true, &mut counts);
            }
            assert_eq!(counts.heads, 1);
            assert_eq!(counts.resets, BTreeMap::from([(8, 1)]));
            assert_eq!(counts.goaways, BTreeMap::from([(11, 1)]));
        }
    }

    #[test]
    fn the_first_status_counts() {
        let (mut counts, mut reader) = (Counts::default(), Reader::default());
        reader.take(b"HTTP/1.1 431 Too Large\r\n", false, &mut counts);
        reader.take(b"HTTP/1.1 200 OK\r\n", false, &mut counts);
        assert_eq!(counts.statuses, BTreeMap::from([(431, 1)]));
    }
}
