// SPDX-License-Identifier: Apache-2.0
//! Points in time and lengths of time, as RFC 3339 and CEL write them.
use std::fmt;

const NANOS: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z, in seconds from 1970.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;
/// 292 years.
const LONGEST: i128 = i64::MAX as i128;

/// A length of time in nanoseconds, of at most 292 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(i128);

/// A point in time in nanoseconds from 1970, of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i128);

/// A day and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) nanos: i64,
    /// From 0, a Sunday.
    pub(crate) weekday: i64,
    /// From 0.
    pub(crate) day_of_year: i64,
}

/// Days from 1970 to a day of the Gregorian calendar.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March ends with the day that some years have more.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day that is so many days after 1970-01-01.
fn day_at(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

impl Timestamp {
    /// From seconds and nanoseconds; `None` outside of the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        Self::of(i128::from(seconds) * NANOS + i128::from(nanos))
    }

    fn of(nanos: i128) -> Option<Self> {
        let seconds = nanos.div_euclid(NANOS);
        let fits = (i128::from(FIRST)..=i128::from(LAST)).contains(&seconds);
        fits.then_some(Self(nanos))
    }

    /// Whole seconds from 1970.
    pub(crate) fn seconds(self) -> i64 {
        i64::try_from(self.0.div_euclid(NANOS)).unwrap_or(LAST)
    }

    pub(crate) fn plus(self, duration: Duration) -> Option<Self> {
        Self::of(self.0 + duration.0)
    }

    pub(crate) fn minus(self, duration: Duration) -> Option<Self> {
        Self::of(self.0 - duration.0)
    }

    pub(crate) fn since(self, other: Self) -> Option<Duration> {
        Duration::of(self.0 - other.0)
    }

    /// As clocks show it that are `offset` seconds before UTC.
    pub(crate) fn civil(self, offset: i64) -> Civil {
        let seconds = self.seconds() + offset;
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = day_at(days);
        Civil {
            year,
            month,
            day,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            nanos: i64::try_from(self.0.rem_euclid(NANOS)).unwrap_or_default(),
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_to(year, 1, 1),
        }
    }

    /// Reads RFC 3339.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| digits.parse().ok())?
        };
        let is = |at: usize, of: &[u8]| bytes.get(at).is_some_and(|byte| of.contains(byte));
        let marks = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let days = days_to(year, month, day);
        let is_day = (1..=12).contains(&month) && day_at(days) == (year, month, day);
        if !marks || !is_day || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|character: char| !character.is_ascii_digit())?;
            let digits = fraction
                .get(..end)
                .filter(|digits| (1..=9).contains(&digits.len()))?;
            nanos = format!("{digits:0<9}").parse().ok()?;
            rest = fraction.get(end..)?;
        }
        let offset = match rest {
            "Z" | "z" => 0,
            _ => offset(rest)?,
        };
        Self::new(
            days * 86_400 + hour * 3_600 + minute * 60 + second - offset,
            nanos,
        )
    }
}

/// Seconds that clocks are before UTC: `+05:30`, `-08:00`; `02:00` is `+02:00`.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |digits: &str, most: i64| -> Option<i64> {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_number)?;
        (number <= most).then_some(number)
    };
    Some(sign * (number(hours, 23)? * 3_600 + number(minutes, 59)? * 60))
}

impl Duration {
    /// From milliseconds; `None` for more than 292 years.
    pub fn from_millis(millis: i64) -> Option<Self> {
        Self::of(i128::from(millis) * 1_000_000)
    }

    fn of(nanos: i128) -> Option<Self> {
        (-LONGEST..=LONGEST).contains(&nanos).then_some(Self(nanos))
    }

    pub(crate) fn nanos(self) -> i128 {
        self.0
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        Self::of(self.0 + other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        Self::of(self.0 - other.0)
    }

    /// Reads `1h30m`, `-2.5s`, `100ms`, `0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        let mut all: i128 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let end =
                rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
            let (number, after) = rest.split_at(end);
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.contains('.')
            {
                return None;
            }
            let units = [
                ("ns", 1),
                ("us", 1_000),
                ("\u{b5}s", 1_000),
                ("ms", 1_000_000),
                ("s", NANOS),
                ("m", 60 * NANOS),
                ("h", 3_600 * NANOS),
            ];
            let (unit, nanos) = units.iter().find(|(unit, _)| after.starts_with(unit))?;
            let whole: i128 = if whole.is_empty() {
                0
            } else {
                whole.parse().ok()?
            };
            all += whole * nanos;
            let mut part = *nanos;
            for digit in fraction.bytes() {
                part /= 10;
                all += i128::from(digit - b'0') * part;
            }
            rest = after.get(unit.len()..)?;
        }
        Self::of(sign * all)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.civil(0);
        let (date, time) = (
            (own.year, own.month, own.day),
            (own.hour, own.minute, own.second),
        );
        write!(formatter, "{:04}-{:02}-{:02}T", date.0, date.1, date.2)?;
        write!(formatter, "{:02}:{:02}:{:02}", time.0, time.1, time.2)?;
        fraction(formatter, own.nanos)?;
        formatter.write_str("Z")
    }
}

impl fmt::Display for Duration {
    /// In seconds: `1.5s`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(formatter, "{sign}{}", self.0.abs() / NANOS)?;
        fraction(
            formatter,
            i64::try_from(self.0.abs() % NANOS).unwrap_or_default(),
        )?;
        formatter.write_str("s")
    }
}

fn fraction(formatter: &mut fmt::Formatter<'_>, nanos: i64) -> fmt::Result {
    match nanos {
        0 => Ok(()),
        _ => write!(
            formatter,
            ".{}",
            format!("{nanos:09}").trim_end_matches('0')
        ),
    }
}
