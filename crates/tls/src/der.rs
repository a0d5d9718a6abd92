// SPDX-License-Identifier: Apache-2.0
//! The few fields of a certificate that nothing else tells: who made it for whom, and for how long.

use tidegate_core::days;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Fields of a certificate (RFC 5280 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// As encoded.
    pub(crate) issuer: Vec<u8>,
    /// As encoded.
    pub(crate) subject: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) not_before: u64,
    /// Seconds since 1970.
    pub(crate) not_after: u64,
}

/// One element: its tag, its content, and what follows it.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0usize, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The content of a sequence at the front, and what follows it.
pub(crate) fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == SEQUENCE).then_some((content, rest))
}

impl Outline {
    /// Reads a certificate in DER; `None` when it is none.
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = sequence(certificate)?;
        let (mut fields, _) = sequence(whole)?;
        if fields.first() == Some(&VERSION) {
            fields = element(fields)?.2;
        }
        let (_, _, fields) = element(fields)?; // serial number
        let (_, fields) = sequence(fields)?; // signature algorithm
        let (issuer, fields) = sequence(fields)?;
        let (validity, fields) = sequence(fields)?;
        let (subject, _) = sequence(fields)?;
        let (tag, first, rest) = element(validity)?;
        let not_before = seconds(tag, first)?;
        let (tag, last, _) = element(rest)?;
        Some(Self {
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            not_before,
            not_after: seconds(tag, last)?,
        })
    }
}

/// The type `commonName` of a part of a name (RFC 5280 §A.1), as encoded.
const COMMON_NAME: [u8; 5] = [6, 3, 0x55, 4, 3];
/// What a message has of one, at most.
const LONGEST_NAME: usize = 64;

/// The `commonName` in a name's content, fit to be shown.
pub(crate) fn common_name(name: &[u8]) -> Option<String> {
    let mut rest = name;
    loop {
        let (_, set, after) = element(rest)?;
        let (part, _) = sequence(set)?;
        if let Some(value) = part.strip_prefix(&COMMON_NAME) {
            let text = String::from_utf8_lossy(element(value)?.1);
            let is_shown = |each: &char| each.is_alphanumeric() || " .,:;@_*'()/-".contains(*each);
            return Some(text.chars().filter(is_shown).take(LONGEST_NAME).collect());
        }
        rest = after;
    }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` as seconds since 1970 (RFC 5280 §4.1.2.5); 0 before that.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = digits.split_at_checked(match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    let number = |text: &[u8]| {
        let value = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
        text.iter().fold(0, value)
    };
    let year = match (tag, number(year)) {
        (UTC_TIME, short @ 50..) => 1900 + short,
        (UTC_TIME, short) => 2000 + short,
        (_, whole) => whole,
    };
    let mut parts = rest.chunks_exact(2).map(number);
    let [month, day, hour, minute, second] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let of_day = hour * 3600 + minute * 60 + second;
    Some(days(year, month, day).map_or(0, |days| days * 86_400 + of_day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_seconds_since_1970() {
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, b"000301000000Z"), Some(951_868_800));
        assert_eq!(seconds(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(
            seconds(GENERALIZED_TIME, b"20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(seconds(UTC_TIME, b"500101000000Z"), Some(0));
        for wrong in [
            &b"700101000000"[..],
            b"701301000000Z",
            b"7001010000Z",
            b"",
            b"Z",
        ] {
            assert_eq!(seconds(UTC_TIME, wrong), None);
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for wrong in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\x00",
        ] {
            assert_eq!(Outline::read(wrong), None);
        }
    }
}
