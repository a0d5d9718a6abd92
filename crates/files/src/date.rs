// SPDX-License-Identifier: Apache-2.0
//! HTTP dates as clients write them.

use tidegate_core::days;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Reads an HTTP date in any of its three forms (RFC 9110 §5.6.7), in seconds since 1970. `now`, in
/// the same unit, says which century two digits of a year mean.
///
/// `None` for anything else, a date before 1970 among it: such a condition is ignored. The name of
/// the day is not compared with the date.
pub fn parse_http_date(text: &[u8], now: u64) -> Option<u64> {
    let comma = text.iter().position(|byte| *byte == b',');
    match comma {
        Some(3) => imf_fixdate(text.get(3..)?),
        Some(6..=9) => rfc850(text.get(comma?..)?, now),
        None => asctime(text),
        Some(_) => None,
    }
}

/// `, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(text: &[u8]) -> Option<u64> {
    let [b',', b' ', day @ .., b' ', b'G', b'M', b'T'] = text else {
        return None;
    };
    if day.len() != 20 || day.get(2) != Some(&b' ') || day.get(6) != Some(&b' ') {
        return None;
    }
    if day.get(11) != Some(&b' ') {
        return None;
    }
    let year = number(day.get(7..11)?)?;
    seconds(
        year,
        month(day.get(3..6)?)?,
        number(day.get(..2)?)?,
        day.get(12..)?,
    )
}

/// `, 06-Nov-94 08:49:37 GMT`.
fn rfc850(text: &[u8], now: u64) -> Option<u64> {
    let [b',', b' ', day @ .., b' ', b'G', b'M', b'T'] = text else {
        return None;
    };
    if day.len() != 18 || day.get(2) != Some(&b'-') || day.get(6) != Some(&b'-') {
        return None;
    }
    if day.get(9) != Some(&b' ') {
        return None;
    }
    let month = month(day.get(3..6)?)?;
    let date = number(day.get(..2)?)?;
    let short = number(day.get(7..9)?)?;
    // A year more than 50 years ahead is the past's (RFC 9110 §5.6.7).
    let this_year = 1970 + now / 31_556_952;
    let mut year = this_year - this_year % 100 + short;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month, date, day.get(10..)?)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &[u8]) -> Option<u64> {
    if text.len() != 24 || [3, 7, 10, 19].iter().any(|at| text.get(*at) != Some(&b' ')) {
        return None;
    }
    let day = match text.get(8..10)? {
        [b' ', digit] => number(&[*digit])?,
        two => number(two)?,
    };
    let year = number(text.get(20..)?)?;
    seconds(year, month(text.get(4..7)?)?, day, text.get(11..19)?)
}

fn month(name: &[u8]) -> Option<u64> {
    let found = MONTHS.iter().position(|month| *month == name)?;
    Some(found as u64 + 1)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |sum: u64, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

fn seconds(year: u64, month: u64, day: u64, time: &[u8]) -> Option<u64> {
    let [h, hh, b':', m, mm, b':', s, ss] = time else {
        return None;
    };
    let (hour, minute, second) = (
        number(&[*h, *hh])?,
        number(&[*m, *mm])?,
        number(&[*s, *ss])?,
    );
    // 60 is a leap second.
    if year < 1970 || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 {
        return None;
    }
    if second > 60 {
        return None;
    }
    Some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days_in(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
