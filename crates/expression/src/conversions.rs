// SPDX-License-Identifier: Apache-2.0
//! From one type to another, where nothing is lost.
use crate::evaluate::{Outcome, Why, wrong};
use crate::time::{Duration, Timestamp};
use crate::value::Value;

pub(crate) fn type_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [own] => Ok(Value::Type(own.kind())),
        _ => wrong(),
    }
}

pub(crate) fn same<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [own] => Ok(own.clone()),
        _ => wrong(),
    }
}

pub(crate) fn bool<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Bool(own)] => Ok(Value::Bool(*own)),
        [Value::Text(own)] => match &**own {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Why::BadText("truth value")),
        },
        _ => wrong(),
    }
}

pub(crate) fn int<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(own)] => Ok(Value::Int(*own)),
        [Value::Uint(own)] => i64::try_from(*own)
            .map(Value::Int)
            .map_err(|_| Why::Overflow),
        // The bounds themselves are no whole numbers of 64 bits, or are rounded from some that are none.
        #[allow(clippy::cast_possible_truncation)]
        [Value::Double(own)]
            if *own > -9.223_372_036_854_775e18 && *own < 9.223_372_036_854_775e18 =>
        {
            Ok(Value::Int(*own as i64))
        }
        [Value::Double(_)] => Err(Why::Overflow),
        [Value::Text(own)] => own
            .parse()
            .map(Value::Int)
            .map_err(|_| Why::BadText("whole number")),
        [Value::Timestamp(own)] => Ok(Value::Int(own.seconds())),
        _ => wrong(),
    }
}

pub(crate) fn uint<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Uint(own)] => Ok(Value::Uint(*own)),
        [Value::Int(own)] => u64::try_from(*own)
            .map(Value::Uint)
            .map_err(|_| Why::Overflow),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        [Value::Double(own)] if *own > -1.0 && *own < 1.844_674_407_370_955e19 => {
            Ok(Value::Uint(*own as u64))
        }
        [Value::Double(_)] => Err(Why::Overflow),
        [Value::Text(own)] => own
            .parse()
            .map(Value::Uint)
            .map_err(|_| Why::BadText("whole number")),
        _ => wrong(),
    }
}

#[allow(clippy::cast_precision_loss)] // as CEL has it
pub(crate) fn double<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Double(own)] => Ok(Value::Double(*own)),
        [Value::Int(own)] => Ok(Value::Double(*own as f64)),
        [Value::Uint(own)] => Ok(Value::Double(*own as f64)),
        [Value::Text(own)] => own
            .parse()
            .map(Value::Double)
            .map_err(|_| Why::BadText("number")),
        _ => wrong(),
    }
}

pub(crate) fn string<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Text(own)] => Value::Text(own.clone()),
        [Value::Bool(own)] => Value::text(if *own { "true" } else { "false" }),
        [Value::Int(own)] => Value::owned(own.to_string()),
        [Value::Uint(own)] => Value::owned(own.to_string()),
        [Value::Double(own)] => Value::owned(own.to_string()),
        [Value::Bytes(own)] => match std::str::from_utf8(own) {
            Ok(text) => Value::owned(text.to_owned()),
            Err(_) => return Err(Why::BadText("UTF-8")),
        },
        [Value::Timestamp(own)] => Value::owned(own.to_string()),
        [Value::Duration(own)] => Value::owned(own.to_string()),
        [Value::Address(own)] => Value::owned(own.to_string()),
        [Value::Network(own)] => Value::owned(own.to_string()),
        _ => return wrong(),
    })
}

pub(crate) fn bytes<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Bytes(own)] => Ok(Value::Bytes(own.clone())),
        [Value::Text(own)] => Ok(Value::Bytes(own.as_bytes().to_vec().into())),
        _ => wrong(),
    }
}

pub(crate) fn timestamp<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Timestamp(own)] => Ok(Value::Timestamp(*own)),
        [Value::Text(own)] => Timestamp::parse(own)
            .map(Value::Timestamp)
            .ok_or(Why::BadText("point in time (RFC 3339)")),
        [Value::Int(own)] => Timestamp::new(*own, 0)
            .map(Value::Timestamp)
            .ok_or(Why::Overflow),
        _ => wrong(),
    }
}

pub(crate) fn duration<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Duration(own)] => Ok(Value::Duration(*own)),
        [Value::Text(own)] => Duration::parse(own)
            .map(Value::Duration)
            .ok_or(Why::BadText("length of time, such as `1h30m`")),
        _ => wrong(),
    }
}
