// SPDX-License-Identifier: Apache-2.0
//! `+ - * / %`: numbers that overflow are errors and never wrap.
use crate::code::Operator;
use crate::evaluate::Why;
use crate::value::Value;

pub(crate) fn negative<'a>(value: &Value<'_>) -> Result<Value<'a>, Why> {
    match value {
        Value::Int(own) => own.checked_neg().map(Value::Int).ok_or(Why::Overflow),
        Value::Double(own) => Ok(Value::Double(-own)),
        _ => Err(Why::NoOverload("`-`".into())),
    }
}

pub(crate) fn compute<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<Value<'a>, Why> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => whole(operator, *left, *right).map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => whole(operator, *left, *right).map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            _ => return Err(Why::NoOverload(String::new())),
        })),
        _ => others(operator, left, right),
    }
}

/// What whole numbers of 64 bits have in common.
trait Whole: Copy + PartialEq + Default {
    fn compute(operator: Operator, left: Self, right: Self) -> Option<Self>;
}

macro_rules! whole {
    ($kind:ty) => {
        impl Whole for $kind {
            fn compute(operator: Operator, left: Self, right: Self) -> Option<Self> {
                match operator {
                    Operator::Add => left.checked_add(right),
                    Operator::Subtract => left.checked_sub(right),
                    Operator::Multiply => left.checked_mul(right),
                    Operator::Divide => left.checked_div(right),
                    _ => left.checked_rem(right),
                }
            }
        }
    };
}
whole!(i64);
whole!(u64);

fn whole<T: Whole>(operator: Operator, left: T, right: T) -> Result<T, Why> {
    let divides = matches!(operator, Operator::Divide | Operator::Remainder);
    match divides && right == T::default() {
        true => Err(Why::DivisionByZero),
        false => T::compute(operator, left, right).ok_or(Why::Overflow),
    }
}

fn others<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Why> {
    let time = |own: Option<_>| own.map(Value::Timestamp).ok_or(Why::Overflow);
    let length = |own: Option<_>| own.map(Value::Duration).ok_or(Why::Overflow);
    match (operator, left, right) {
        (Operator::Add, Value::Text(left), Value::Text(right)) => {
            Ok(Value::owned([&**left, &**right].concat()))
        }
        (Operator::Add, Value::Bytes(left), Value::Bytes(right)) => {
            Ok(Value::Bytes([&**left, &**right].concat().into()))
        }
        (Operator::Add, Value::Timestamp(left), Value::Duration(right))
        | (Operator::Add, Value::Duration(right), Value::Timestamp(left)) => {
            time(left.plus(*right))
        }
        (Operator::Subtract, Value::Timestamp(left), Value::Duration(right)) => {
            time(left.minus(*right))
        }
        (Operator::Subtract, Value::Timestamp(left), Value::Timestamp(right)) => {
            length(left.since(*right))
        }
        (Operator::Add, Value::Duration(left), Value::Duration(right)) => length(left.plus(*right)),
        (Operator::Subtract, Value::Duration(left), Value::Duration(right)) => {
            length(left.minus(*right))
        }
        (Operator::Add, left, right) => match (left.list_len(), right.list_len()) {
            (Some(_), Some(_)) => {
                let mut all = left.elements().unwrap_or_default();
                all.extend(right.elements().unwrap_or_default());
                Ok(Value::List(all.into()))
            }
            _ => Err(Why::NoOverload(String::new())),
        },
        _ => Err(Why::NoOverload(String::new())),
    }
}
