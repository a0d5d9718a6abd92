// SPDX-License-Identifier: Apache-2.0
use std::fmt;

/// What a value is, as far as it is known before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything: seen when it is there.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    /// An address of IPv4 or IPv6.
    Address,
    /// A range of addresses.
    Network,
    /// A type as a value: what `type()` gives.
    Type,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
}

impl Type {
    /// A list of these.
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// A map from text to these.
    pub fn map(of: Self) -> Self {
        Self::Map(Box::new(Self::Text), Box::new(of))
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of the one may be one of the other.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(one), Self::List(other)) => one.agrees(other),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.agrees(other_key) && value.agrees(other_value)
            }
            _ => self == other,
        }
    }

    /// What both are: the more general where they agree.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            _ if self == other => Some(self.clone()),
            (Self::Dyn, _) | (_, Self::Dyn) => Some(Self::Dyn),
            (Self::List(one), Self::List(other)) => one.joined(other).map(Self::list),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => Some(Self::Map(
                Box::new(key.joined(other_key)?),
                Box::new(value.joined(other_value)?),
            )),
            _ => None,
        }
    }

    /// As CEL names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dyn => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Address => "net.IP",
            Self::Network => "net.CIDR",
            Self::Type => "type",
            Self::List(_) => "list",
            Self::Map(..) => "map",
        }
    }

    /// The types that an expression names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Null,
            Self::Bool,
            Self::Int,
            Self::Uint,
            Self::Double,
            Self::Text,
            Self::Bytes,
            Self::Timestamp,
            Self::Duration,
            Self::Address,
            Self::Network,
            Self::Type,
            Self::list(Self::Dyn),
            Self::Map(Box::new(Self::Dyn), Box::new(Self::Dyn)),
        ];
        all.into_iter().find(|each| each.name() == name)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(of) => write!(formatter, "list({of})"),
            Self::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::Duration => formatter.write_str("duration"),
            Self::Address => formatter.write_str("ip"),
            Self::Network => formatter.write_str("cidr"),
            Self::Null => formatter.write_str("null"),
            _ => formatter.write_str(self.name()),
        }
    }
}
