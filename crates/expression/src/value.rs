// SPDX-License-Identifier: Apache-2.0
use crate::time::{Duration, Timestamp};
use crate::types::Type;
use ipnet::IpNet;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

/// Texts under names, kept by somebody else: fields of a message, parameters of a query, cookies.
///
/// In an expression it is a `map(string, string)` in which every name is: `fields["x"]` is empty where there is no such
/// field, and `"x" in fields` says whether there is one.
pub trait Fields: Sync {
    /// What is under a name.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;
    /// All names.
    fn names(&self) -> Vec<Cow<'_, str>>;
}

/// What an expression computes with; it may borrow from the request.
#[derive(Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Timestamp(Timestamp),
    Duration(Duration),
    Address(IpAddr),
    Network(IpNet),
    Type(Type),
    List(Arc<[Value<'a>]>),
    Map(Arc<Map<'a>>),
    /// An object or array of JSON, read as far as it is asked for.
    Json(&'a Json),
    Fields(&'a dyn Fields),
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(own) => write!(formatter, "{own}"),
            Self::Int(own) => write!(formatter, "{own}"),
            Self::Uint(own) => write!(formatter, "{own}u"),
            Self::Double(own) => write!(formatter, "{own:?}"),
            Self::Text(own) => write!(formatter, "{own:?}"),
            Self::Bytes(own) => write!(formatter, "b{own:?}"),
            Self::Timestamp(own) => write!(formatter, "timestamp({own})"),
            Self::Duration(own) => write!(formatter, "duration({own})"),
            Self::Address(own) => write!(formatter, "ip({own})"),
            Self::Network(own) => write!(formatter, "cidr({own})"),
            Self::Type(own) => write!(formatter, "type({own})"),
            Self::List(own) => formatter.debug_list().entries(own.iter()).finish(),
            Self::Map(own) => formatter
                .debug_map()
                .entries(own.0.iter().map(|(key, value)| (key, value)))
                .finish(),
            Self::Json(own) => write!(formatter, "{own}"),
            Self::Fields(own) => formatter.debug_set().entries(own.names()).finish(),
        }
    }
}

/// A map of an expression's own: few entries, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Map<'a>(Vec<(Value<'a>, Value<'a>)>);

impl<'a> Map<'a> {
    /// A map of these; `None` where a key is there twice, or can be none.
    pub fn new(mut entries: Vec<(Value<'a>, Value<'a>)>) -> Option<Self> {
        if !entries.iter().all(|(key, _)| key.is_key()) {
            return None;
        }
        entries.sort_by(|(one, _), (other, _)| key_order(one, other));
        let mut neighbours = entries.iter().zip(entries.iter().skip(1));
        let twice = neighbours.any(|((one, _), (other, _))| key_order(one, other).is_eq());
        (!twice).then_some(Self(entries))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        let place = self.0.binary_search_by(|(own, _)| key_order(own, key));
        self.0.get(place.ok()?).map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &(Value<'a>, Value<'a>)> {
        self.0.iter()
    }
}

/// An order of keys in which numbers that are equal are one, whatever their types are.
fn key_order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    fn rank(value: &Value<'_>) -> u8 {
        match value {
            Value::Bool(_) => 0,
            Value::Text(_) => 1,
            _ => 2,
        }
    }
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)).then_with(|| {
            // Doubles are looked up, and never kept.
            one.partial_cmp(other).unwrap_or(Ordering::Less)
        }),
    }
}

impl<'a> Value<'a> {
    /// Text that is borrowed.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Text of its own.
    pub fn owned(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }

    /// What JSON says: scalars at once, whole numbers as such, the rest when it is asked for.
    pub fn json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(own) => Self::Bool(*own),
            Json::String(own) => Self::text(own),
            Json::Number(own) => match (own.as_i64(), own.as_u64()) {
                (Some(own), _) => Self::Int(own),
                (_, Some(own)) => Self::Uint(own),
                _ => Self::Double(own.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    /// The same for as long as this one lives, without copying text.
    pub(crate) fn borrowed(&'a self) -> Self {
        match self {
            Self::Text(own) => Self::text(own),
            Self::Bytes(own) => Self::Bytes(Cow::Borrowed(own)),
            other => other.clone(),
        }
    }

    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::Address(_) => Type::Address,
            Self::Network(_) => Type::Network,
            Self::Type(_) => Type::Type,
            Self::List(_) | Self::Json(Json::Array(_)) => Type::list(Type::Dyn),
            Self::Map(_) | Self::Json(_) | Self::Fields(_) => {
                Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn))
            }
        }
    }

    fn is_key(&self) -> bool {
        matches!(
            self,
            Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Text(_)
        )
    }

    /// What a map has under a key; `None` where it has not, or is no map.
    pub(crate) fn entry(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Map(own), _) => own.get(key).cloned(),
            (Self::Json(Json::Object(own)), Value::Text(key)) => own.get(&**key).map(Value::json),
            (Self::Fields(own), Value::Text(key)) => {
                Some(Value::Text(own.get(key).unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// Whether a map has something under a key; `None` for what is no map.
    pub(crate) fn has(&self, key: &Value<'_>) -> Option<bool> {
        match (self, key) {
            (Self::Map(own), _) => Some(own.get(key).is_some()),
            (Self::Json(Json::Object(own)), Value::Text(key)) => Some(own.contains_key(&**key)),
            (Self::Fields(own), Value::Text(key)) => Some(own.get(key).is_some()),
            (Self::Json(Json::Object(_)) | Self::Fields(_), _) => Some(false),
            _ => None,
        }
    }

    /// The elements of a list, or the keys of a map.
    pub(crate) fn elements(&self) -> Option<Vec<Value<'a>>> {
        Some(match self {
            Self::List(own) => own.to_vec(),
            Self::Map(own) => own.entries().map(|(key, _)| key.clone()).collect(),
            Self::Json(Json::Array(own)) => own.iter().map(Value::json).collect(),
            Self::Json(Json::Object(own)) => own.keys().map(|key| Value::text(key)).collect(),
            Self::Fields(own) => own.names().into_iter().map(Value::Text).collect(),
            _ => return None,
        })
    }

    /// An element of a list.
    pub(crate) fn element(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::List(own) => own.get(index).cloned(),
            Self::Json(Json::Array(own)) => own.get(index).map(Value::json),
            _ => None,
        }
    }

    /// How many elements a list has.
    pub(crate) fn list_len(&self) -> Option<usize> {
        match self {
            Self::List(own) => Some(own.len()),
            Self::Json(Json::Array(own)) => Some(own.len()),
            _ => None,
        }
    }

    /// How many entries a map has.
    pub(crate) fn map_len(&self) -> Option<usize> {
        match self {
            Self::Map(own) => Some(own.len()),
            Self::Json(Json::Object(own)) => Some(own.len()),
            Self::Fields(own) => Some(own.names().len()),
            _ => None,
        }
    }
}

impl PartialEq for Value<'_> {
    /// As CEL has it: numbers by what they are worth, and values of other types are never equal.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            (Self::Timestamp(one), Self::Timestamp(other)) => one == other,
            (Self::Duration(one), Self::Duration(other)) => one == other,
            (Self::Address(one), Self::Address(other)) => one == other,
            (Self::Network(one), Self::Network(other)) => one == other,
            (Self::Type(one), Self::Type(other)) => one.name() == other.name(),
            _ => match (self.list_len(), other.list_len()) {
                (Some(one), Some(other_len)) => {
                    one == other_len && (0..one).all(|at| self.element(at) == other.element(at))
                }
                (None, None) => match (self.map_len(), other.map_len()) {
                    (Some(one), Some(other_len)) => {
                        let keys = || self.elements().unwrap_or_default();
                        one == other_len
                            && keys().iter().all(|key| {
                                other.has(key) == Some(true) && self.entry(key) == other.entry(key)
                            })
                    }
                    (None, None) => self.partial_cmp(other).is_some_and(Ordering::is_eq),
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl PartialOrd for Value<'_> {
    /// `None` for what has no order: values of two types that are not both numbers, and NaN.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Uint(one), Self::Uint(other)) => Some(one.cmp(other)),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(other),
            (Self::Int(one), Self::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
            (Self::Uint(one), Self::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
            (Self::Int(one), Self::Double(other)) => whole_and_double(i128::from(*one), *other),
            (Self::Uint(one), Self::Double(other)) => whole_and_double(i128::from(*one), *other),
            (Self::Double(one), Self::Int(other)) => {
                whole_and_double(i128::from(*other), *one).map(Ordering::reverse)
            }
            (Self::Double(one), Self::Uint(other)) => {
                whole_and_double(i128::from(*other), *one).map(Ordering::reverse)
            }
            (Self::Bool(one), Self::Bool(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Bytes(one), Self::Bytes(other)) => Some(one.cmp(other)),
            (Self::Timestamp(one), Self::Timestamp(other)) => Some(one.cmp(other)),
            (Self::Duration(one), Self::Duration(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// Compares without losing digits.
fn whole_and_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Every double within reach of 64 bits is a whole number and a fraction that `i128` and the rest tell apart.
    if double >= 1e30 {
        return Some(Ordering::Less);
    }
    if double <= -1e30 {
        return Some(Ordering::Greater);
    }
    let floor = double.floor();
    #[allow(clippy::cast_possible_truncation)] // below 1e30
    let order = whole.cmp(&(floor as i128));
    Some(order.then(if double > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}
