// SPDX-License-Identifier: Apache-2.0
//! Byte ranges, RFC 9110 §14.
use std::ops::Range;

/// Ranges nearer to each other than what a part of a multipart answer costs are sent as one.
const NEAR: u64 = 80;

/// What a `Range` field comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The whole: the field is in another unit, broken, or asks for more ranges than allowed.
    Whole,
    /// These, ascending, apart from each other, each within the file and not empty.
    Parts(Vec<Range<u64>>),
    /// None of them touches the file: a 416.
    Unsatisfiable,
}

/// Reads `Range: bytes=...` for a file of `length` bytes.
///
/// More than `most` ranges are not answered apart: an attacker could ask for thousands of
/// overlapping ones (§17.15). What overlaps, or is so near that a part of its own would cost more,
/// becomes one.
pub fn parse(field: &[u8], length: u64, most: usize) -> Ranges {
    let field = field.trim_ascii();
    let Some((unit, set)) = field.split_at_checked(6) else {
        return Ranges::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Whole;
    }
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for spec in set.split(|byte| *byte == b',') {
        let spec = spec.trim_ascii();
        if spec.is_empty() {
            continue;
        }
        count += 1;
        if count > most {
            return Ranges::Whole;
        }
        match one(spec, length) {
            Some(range) if !range.is_empty() => found.push(range),
            Some(_) => {}
            None => return Ranges::Whole,
        }
    }
    match (count, found.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        _ => Ranges::Parts(joined(found)),
    }
}

/// One of `first-last`, `first-`, `-suffix`; empty when it does not touch the file.
fn one(spec: &[u8], length: u64) -> Option<Range<u64>> {
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(length.saturating_sub(suffix)..length);
    }
    let first = number(first)?;
    let end = match last {
        b"" => length,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(length)
        }
    };
    Some(first.min(end)..end)
}

/// Digits alone; what does not fit in 64 bits is the largest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| {
            sum.saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut result: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match result.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(NEAR) => {
                last.end = last.end.max(range.end);
            }
            _ => result.push(range),
        }
    }
    result
}

/// The value of `Content-Range` for `range` of `length` bytes: `bytes 0-9/100` (§14.4).
pub fn content_range(range: &Range<u64>, length: u64) -> String {
    let last = range.end.saturating_sub(1);
    format!("bytes {}-{last}/{length}", range.start)
}

/// The head of one part of `multipart/byteranges` (§14.6), and what ends the whole.
pub fn part_head(boundary: &str, content_type: &str, range: &Range<u64>, length: u64) -> String {
    let place = content_range(range, length);
    format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {place}\r\n\r\n")
}

/// What ends a multipart body.
pub fn multipart_end(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}
