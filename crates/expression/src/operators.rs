// SPDX-License-Identifier: Apache-2.0
use crate::code::Operator;
use crate::types::Type;

/// What two values give; `None` when they do not go together.
pub(crate) fn result(operator: Operator, one: &Type, other: &Type) -> Option<Type> {
    let is_dyn = *one == Type::Dyn || *other == Type::Dyn;
    match operator {
        Operator::Equal | Operator::Unequal => (one.agrees(other)).then_some(Type::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let numbers = one.is_number() && other.is_number();
            let ordered = matches!(
                one,
                Type::Bool | Type::Text | Type::Bytes | Type::Timestamp | Type::Duration
            );
            (is_dyn || numbers || ordered && one == other).then_some(Type::Bool)
        }
        Operator::In => match other {
            Type::List(of) => of.agrees(one).then_some(Type::Bool),
            Type::Map(key, _) => key.agrees(one).then_some(Type::Bool),
            Type::Dyn => Some(Type::Bool),
            _ => None,
        },
        Operator::Add if matches!(one, Type::List(_)) && matches!(other, Type::List(_)) => {
            Some(one.joined(other).unwrap_or(Type::list(Type::Dyn)))
        }
        _ if is_dyn => Some(Type::Dyn),
        _ => match (operator, one, other) {
            (_, Type::Int, Type::Int) => Some(Type::Int),
            (_, Type::Uint, Type::Uint) => Some(Type::Uint),
            (Operator::Remainder, ..) => None,
            (_, Type::Double, Type::Double) => Some(Type::Double),
            (Operator::Add, Type::Text, Type::Text) => Some(Type::Text),
            (Operator::Add, Type::Bytes, Type::Bytes) => Some(Type::Bytes),
            (Operator::Add, Type::Timestamp, Type::Duration)
            | (Operator::Add, Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
            (Operator::Subtract, Type::Timestamp, Type::Duration) => Some(Type::Timestamp),
            (Operator::Subtract, Type::Timestamp, Type::Timestamp) => Some(Type::Duration),
            (Operator::Add | Operator::Subtract, Type::Duration, Type::Duration) => {
                Some(Type::Duration)
            }
            _ => None,
        },
    }
}
