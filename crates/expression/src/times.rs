// SPDX-License-Identifier: Apache-2.0
//! Parts of points in time and of lengths of time.
use crate::evaluate::{Outcome, Why};
use crate::time::{Civil, offset};
use crate::value::Value;

fn part<'a>(values: &[Value<'a>], of: fn(&Civil) -> i64) -> Outcome<'a> {
    let (time, offset) = match values {
        [Value::Timestamp(time)] => (time, 0),
        [Value::Timestamp(time), Value::Text(zone)] => {
            let offset = match &**zone {
                "UTC" | "Z" | "" => Some(0),
                zone => offset(zone),
            };
            (
                time,
                offset.ok_or(Why::BadText("offset from UTC, such as `+02:00`"))?,
            )
        }
        _ => return Err(Why::NoOverload(String::new())),
    };
    Ok(Value::Int(of(&time.civil(offset))))
}

/// Of a length of time, the whole of it in that unit.
fn whole<'a>(values: &[Value<'a>], nanos: i128, of: fn(&Civil) -> i64) -> Outcome<'a> {
    match values {
        [Value::Duration(own)] => i64::try_from(own.nanos() / nanos)
            .map(Value::Int)
            .map_err(|_| Why::Overflow),
        _ => part(values, of),
    }
}

pub(crate) fn full_year<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.year)
}

/// From 0.
pub(crate) fn month<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.month - 1)
}

/// From 1.
pub(crate) fn date<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.day)
}

/// From 0.
pub(crate) fn day_of_month<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.day - 1)
}

/// From 0, a Sunday.
pub(crate) fn day_of_week<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.weekday)
}

/// From 0.
pub(crate) fn day_of_year<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |own| own.day_of_year)
}

pub(crate) fn hours<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    whole(values, 3_600_000_000_000, |own| own.hour)
}

pub(crate) fn minutes<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    whole(values, 60_000_000_000, |own| own.minute)
}

pub(crate) fn seconds<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    whole(values, 1_000_000_000, |own| own.second)
}

/// Of a length of time, those beside its seconds.
pub(crate) fn milliseconds<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Duration(own)] => {
            let millis = own.nanos() % 1_000_000_000 / 1_000_000;
            i64::try_from(millis)
                .map(Value::Int)
                .map_err(|_| Why::Overflow)
        }
        _ => part(values, |own| own.nanos / 1_000_000),
    }
}
