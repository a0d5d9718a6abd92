// SPDX-License-Identifier: Apache-2.0
//! The functions that expressions may call. One name may stand several times, with other values that it takes; how it
//! is computed is the same, since what a value is may be seen only when it is there.
use crate::evaluate::Why;
use crate::types::Type;
use crate::value::Value;
use crate::{addresses, conversions, texts, times};
use std::fmt;

/// One way to call a function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// Whether it is called on its first value: `text.startsWith("a")`.
    pub(crate) is_method: bool,
    pub(crate) takes: &'static [Of],
    pub(crate) gives: Of,
    pub(crate) apply: Apply,
}

pub(crate) type Apply = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, Why>;

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Types as a table can have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Any,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    Address,
    Network,
    Type,
    List,
    Texts,
    Map,
}

impl Of {
    pub(crate) fn kind(self) -> Type {
        match self {
            Self::Any => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::Text => Type::Text,
            Self::Bytes => Type::Bytes,
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::Address => Type::Address,
            Self::Network => Type::Network,
            Self::Type => Type::Type,
            Self::List => Type::list(Type::Dyn),
            Self::Texts => Type::list(Type::Text),
            Self::Map => Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn)),
        }
    }
}

const fn plain(name: &'static str, takes: &'static [Of], gives: Of, apply: Apply) -> Function {
    Function {
        name,
        is_method: false,
        takes,
        gives,
        apply,
    }
}

const fn method(name: &'static str, takes: &'static [Of], gives: Of, apply: Apply) -> Function {
    Function {
        is_method: true,
        ..plain(name, takes, gives, apply)
    }
}

use Of::{
    Address, Any, Bool, Bytes, Double, Duration, Int, List, Map, Network, Text, Texts, Timestamp,
    Uint,
};

static FUNCTIONS: &[Function] = &[
    plain("size", &[Text], Int, texts::size),
    plain("size", &[Bytes], Int, texts::size),
    plain("size", &[List], Int, texts::size),
    plain("size", &[Map], Int, texts::size),
    method("size", &[Text], Int, texts::size),
    method("size", &[Bytes], Int, texts::size),
    method("size", &[List], Int, texts::size),
    method("size", &[Map], Int, texts::size),
    plain("type", &[Any], Of::Type, conversions::type_of),
    plain("dyn", &[Any], Any, conversions::same),
    plain("bool", &[Bool], Bool, conversions::bool),
    plain("bool", &[Text], Bool, conversions::bool),
    plain("int", &[Int], Int, conversions::int),
    plain("int", &[Uint], Int, conversions::int),
    plain("int", &[Double], Int, conversions::int),
    plain("int", &[Text], Int, conversions::int),
    plain("int", &[Timestamp], Int, conversions::int),
    plain("uint", &[Uint], Uint, conversions::uint),
    plain("uint", &[Int], Uint, conversions::uint),
    plain("uint", &[Double], Uint, conversions::uint),
    plain("uint", &[Text], Uint, conversions::uint),
    plain("double", &[Double], Double, conversions::double),
    plain("double", &[Int], Double, conversions::double),
    plain("double", &[Uint], Double, conversions::double),
    plain("double", &[Text], Double, conversions::double),
    plain("string", &[Text], Text, conversions::string),
    plain("string", &[Bool], Text, conversions::string),
    plain("string", &[Int], Text, conversions::string),
    plain("string", &[Uint], Text, conversions::string),
    plain("string", &[Double], Text, conversions::string),
    plain("string", &[Bytes], Text, conversions::string),
    plain("string", &[Timestamp], Text, conversions::string),
    plain("string", &[Duration], Text, conversions::string),
    plain("string", &[Address], Text, conversions::string),
    plain("string", &[Network], Text, conversions::string),
    plain("bytes", &[Bytes], Bytes, conversions::bytes),
    plain("bytes", &[Text], Bytes, conversions::bytes),
    plain("timestamp", &[Timestamp], Timestamp, conversions::timestamp),
    plain("timestamp", &[Text], Timestamp, conversions::timestamp),
    plain("timestamp", &[Int], Timestamp, conversions::timestamp),
    plain("duration", &[Duration], Duration, conversions::duration),
    plain("duration", &[Text], Duration, conversions::duration),
    method("startsWith", &[Text, Text], Bool, texts::starts_with),
    method("endsWith", &[Text, Text], Bool, texts::ends_with),
    method("contains", &[Text, Text], Bool, texts::contains),
    method("charAt", &[Text, Int], Text, texts::char_at),
    method("indexOf", &[Text, Text], Int, texts::index_of),
    method("indexOf", &[Text, Text, Int], Int, texts::index_of),
    method("lastIndexOf", &[Text, Text], Int, texts::last_index_of),
    method("lastIndexOf", &[Text, Text, Int], Int, texts::last_index_of),
    method("lowerAscii", &[Text], Text, texts::lower),
    method("upperAscii", &[Text], Text, texts::upper),
    method("reverse", &[Text], Text, texts::reverse),
    method("trim", &[Text], Text, texts::trim),
    method("replace", &[Text, Text, Text], Text, texts::replace),
    method("replace", &[Text, Text, Text, Int], Text, texts::replace),
    method("split", &[Text, Text], Texts, texts::split),
    method("split", &[Text, Text, Int], Texts, texts::split),
    method("substring", &[Text, Int], Text, texts::substring),
    method("substring", &[Text, Int, Int], Text, texts::substring),
    method("join", &[Texts], Text, texts::join),
    method("join", &[Texts, Text], Text, texts::join),
    method("getFullYear", &[Timestamp], Int, times::full_year),
    method("getFullYear", &[Timestamp, Text], Int, times::full_year),
    method("getMonth", &[Timestamp], Int, times::month),
    method("getMonth", &[Timestamp, Text], Int, times::month),
    method("getDate", &[Timestamp], Int, times::date),
    method("getDate", &[Timestamp, Text], Int, times::date),
    method("getDayOfMonth", &[Timestamp], Int, times::day_of_month),
    method(
        "getDayOfMonth",
        &[Timestamp, Text],
        Int,
        times::day_of_month,
    ),
    method("getDayOfWeek", &[Timestamp], Int, times::day_of_week),
    method("getDayOfWeek", &[Timestamp, Text], Int, times::day_of_week),
    method("getDayOfYear", &[Timestamp], Int, times::day_of_year),
    method("getDayOfYear", &[Timestamp, Text], Int, times::day_of_year),
    method("getHours", &[Timestamp], Int, times::hours),
    method("getHours", &[Timestamp, Text], Int, times::hours),
    method("getHours", &[Duration], Int, times::hours),
    method("getMinutes", &[Timestamp], Int, times::minutes),
    method("getMinutes", &[Timestamp, Text], Int, times::minutes),
    method("getMinutes", &[Duration], Int, times::minutes),
    method("getSeconds", &[Timestamp], Int, times::seconds),
    method("getSeconds", &[Timestamp, Text], Int, times::seconds),
    method("getSeconds", &[Duration], Int, times::seconds),
    method("getMilliseconds", &[Timestamp], Int, times::milliseconds),
    method(
        "getMilliseconds",
        &[Timestamp, Text],
        Int,
        times::milliseconds,
    ),
    method("getMilliseconds", &[Duration], Int, times::milliseconds),
    plain("ip", &[Text], Address, addresses::ip),
    plain("isIP", &[Text], Bool, addresses::is_ip),
    plain("ip.isCanonical", &[Text], Bool, addresses::is_canonical),
    plain("cidr", &[Text], Network, addresses::cidr),
    plain("isCIDR", &[Text], Bool, addresses::is_cidr),
    method("family", &[Address], Int, addresses::family),
    method("isUnspecified", &[Address], Bool, addresses::is_unspecified),
    method("isLoopback", &[Address], Bool, addresses::is_loopback),
    method(
        "isGlobalUnicast",
        &[Address],
        Bool,
        addresses::is_global_unicast,
    ),
    method(
        "isLinkLocalUnicast",
        &[Address],
        Bool,
        addresses::is_link_local_unicast,
    ),
    method(
        "isLinkLocalMulticast",
        &[Address],
        Bool,
        addresses::is_link_local_multicast,
    ),
    method(
        "containsIP",
        &[Network, Address],
        Bool,
        addresses::contains_ip,
    ),
    method("containsIP", &[Network, Text], Bool, addresses::contains_ip),
    method(
        "containsCIDR",
        &[Network, Network],
        Bool,
        addresses::contains_cidr,
    ),
    method(
        "containsCIDR",
        &[Network, Text],
        Bool,
        addresses::contains_cidr,
    ),
    method("ip", &[Network], Address, addresses::ip_of),
    method("masked", &[Network], Network, addresses::masked),
    method("prefixLength", &[Network], Int, addresses::prefix_length),
];

/// All ways to call a function.
pub(crate) fn named(name: &str, is_method: bool) -> impl Iterator<Item = &'static Function> {
    let all = FUNCTIONS.iter();
    all.filter(move |each| each.name == name && each.is_method == is_method)
}

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|each| each.name)
}
