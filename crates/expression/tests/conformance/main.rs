// SPDX-License-Identifier: Apache-2.0
//! The cases of the CEL specification (`vectors/`): each gives what it should, but for those that are listed with why.
#![allow(clippy::unwrap_used)] // helpers of tests

mod misses;
mod textproto;

use std::collections::BTreeMap;
use std::sync::Arc;
use textproto::{Message, Part};
use tidegate_expression::{
    Duration, Environment, Expression, Map, Timestamp, Type, Value, Variables,
};

struct Bound(Vec<Value<'static>>);

impl Variables for Bound {
    fn get(&self, variable: u16) -> Value<'_> {
        self.0[usize::from(variable)].clone()
    }
}

fn number<T: std::str::FromStr>(message: &Message, name: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    message.text(name).unwrap_or("0".into()).parse().unwrap()
}

/// What a case expects or binds; `None` for messages of protocol buffers.
fn value(message: &Message) -> Option<Value<'static>> {
    let (name, part) = message.0.first()?;
    Some(match (name.as_str(), part) {
        ("null_value", _) => Value::Null,
        ("bool_value", Part::Word(word)) => Value::Bool(word == "true"),
        ("int64_value", Part::Word(word)) => Value::Int(word.parse().unwrap()),
        ("uint64_value", Part::Word(word)) => Value::Uint(word.parse().unwrap()),
        ("double_value", Part::Word(word)) => Value::Double(word.parse().unwrap()),
        ("string_value", Part::Text(text)) => {
            Value::owned(String::from_utf8(text.clone()).unwrap())
        }
        ("bytes_value", Part::Text(bytes)) => Value::Bytes(bytes.clone().into()),
        ("type_value", Part::Text(name)) => {
            Value::Type(named(&String::from_utf8(name.clone()).unwrap())?)
        }
        ("list_value", Part::Message(own)) => {
            let values: Option<Vec<_>> = own.messages("values").map(value).collect();
            Value::List(values?.into())
        }
        ("map_value", Part::Message(own)) => {
            let entry = |each: &Message| {
                Some((value(each.message("key")?)?, value(each.message("value")?)?))
            };
            let entries: Option<Vec<_>> = own.messages("entries").map(entry).collect();
            Value::Map(Arc::new(Map::new(entries?)?))
        }
        ("object_value", Part::Message(own)) => {
            let (kind, Part::Message(inner)) = own.0.first()? else {
                return None;
            };
            let (seconds, nanos): (i64, i64) = (number(inner, "seconds"), number(inner, "nanos"));
            match kind.as_str() {
                "[type.googleapis.com/google.protobuf.Timestamp]" => {
                    Value::Timestamp(Timestamp::new(seconds, nanos.try_into().ok()?)?)
                }
                "[type.googleapis.com/google.protobuf.Duration]" if nanos % 1_000_000 == 0 => {
                    Value::Duration(Duration::from_millis(seconds * 1_000 + nanos / 1_000_000)?)
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "type" => Type::Type,
        "list" => Type::list(Type::Dyn),
        "map" => Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn)),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "net.IP" => Type::Address,
        "net.CIDR" => Type::Network,
        _ => return None,
    })
}

fn kind(message: &Message) -> Option<Type> {
    let (name, part) = message.0.first()?;
    Some(match (name.as_str(), part) {
        ("primitive", Part::Word(word)) => match word.as_str() {
            "BOOL" => Type::Bool,
            "INT64" => Type::Int,
            "UINT64" => Type::Uint,
            "DOUBLE" => Type::Double,
            "STRING" => Type::Text,
            "BYTES" => Type::Bytes,
            _ => return None,
        },
        ("well_known", Part::Word(word)) => match word.as_str() {
            "TIMESTAMP" => Type::Timestamp,
            "DURATION" => Type::Duration,
            _ => return None,
        },
        ("null", _) => Type::Null,
        ("dyn", _) => Type::Dyn,
        ("list_type", Part::Message(own)) => {
            Type::list(own.message("elem_type").map_or(Some(Type::Dyn), kind)?)
        }
        ("map_type", Part::Message(own)) => {
            let part = |name| {
                own.message(name)
                    .map_or(Some(Type::Dyn), kind)
                    .map(Box::new)
            };
            Type::Map(part("key_type")?, part("value_type")?)
        }
        _ => return None,
    })
}

/// What happened otherwise than expected; `None` when nothing did.
fn judged(case: &Message) -> Option<String> {
    let text = case.text("expr").unwrap();
    let mut names: BTreeMap<String, Type> = BTreeMap::new();
    for each in case.messages("type_env") {
        let Some(ident) = each.message("ident") else {
            return Some("a function of its own".into());
        };
        match ident.message("type").and_then(kind) {
            Some(kind) => names.insert(each.text("name").unwrap(), kind),
            None => return Some("a message".into()),
        };
    }
    let mut bound = BTreeMap::new();
    for each in case.messages("bindings") {
        let name = each.text("key").unwrap();
        match each
            .message("value")
            .and_then(|own| value(own.message("value")?))
        {
            Some(value) => bound.insert(name.clone(), value),
            None => return Some("a message".into()),
        };
        names.entry(name).or_insert(Type::Dyn);
    }
    let values = names
        .keys()
        .map(|name| bound.get(name).cloned().unwrap_or(Value::Null))
        .collect();
    let typed = case.message("typed_result");
    let expected = match (
        case.message("value"),
        typed.and_then(|own| own.message("result")),
    ) {
        (Some(own), _) | (None, Some(own)) => match value(own) {
            Some(value) => Some(value),
            None => return Some("a message".into()),
        },
        (None, None)
            if case.message("eval_error").is_some()
                || case.message("any_eval_errors").is_some() =>
        {
            None
        }
        (None, None) if typed.is_some() => None,
        // Nothing said is true.
        (None, None) => Some(Value::Bool(true)),
    };
    let read = match Expression::new(&text, &Environment::new(names)) {
        Ok(read) => read,
        Err(_) if expected.is_none() && typed.is_none() => return None,
        Err(mistake) if mistake.message.ends_with("before `{`") => return Some("a message".into()),
        Err(_) if case.text("disable_check").is_some() => {
            return Some("refused when it is read".into());
        }
        Err(mistake) => return Some(format!("refused {mistake}")),
    };
    if let Some(own) = typed {
        let deduced = own.message("deduced_type").and_then(kind);
        if deduced.as_ref() != Some(read.gives()) {
            return Some(format!("gives {} and not {deduced:?}", read.gives()));
        }
        expected.as_ref()?;
    }
    let bound = Bound(values);
    match (read.evaluate(&bound), expected) {
        (Err(_), None) => None,
        (Ok(found), Some(expected)) if is_same(&found, &expected) => None,
        (found, expected) => Some(format!("{found:?} and not {expected:?}")),
    }
}

/// Equal, of one type, and NaN is itself.
fn is_same(found: &Value<'_>, expected: &Value<'_>) -> bool {
    match (found, expected) {
        (Value::Double(one), Value::Double(other)) => {
            one == other || one.is_nan() && other.is_nan()
        }
        (Value::Int(_), Value::Uint(_) | Value::Double(_))
        | (Value::Uint(_), Value::Int(_) | Value::Double(_))
        | (Value::Double(_), Value::Int(_) | Value::Uint(_)) => false,
        _ => found == expected,
    }
}

#[test]
fn each_case_of_the_specification_gives_what_it_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "textproto"))
        .collect();
    files.sort();
    let (mut count, mut missed, mut told) = (0, Vec::new(), Vec::new());
    for path in files {
        let file = textproto::parse(&std::fs::read_to_string(&path).unwrap());
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for section in file.messages("section") {
            for case in section.messages("test") {
                count += 1;
                let of = |message: &Message| message.text("name").unwrap_or_default();
                let name = format!("{stem}/{}/{}", of(section), of(case));
                if let Some(why) = judged(case) {
                    let expression = case.text("expr").unwrap_or_default();
                    if misses::why(&name, &why).is_none() {
                        told.push(format!("{name}: {expression}: {why}"));
                    }
                    missed.push(name);
                }
            }
        }
    }
    assert!(
        told.is_empty(),
        "{} of {count}:\n{}",
        told.len(),
        told.join("\n")
    );
    assert!(count > 1_000, "{count}");
    for name in misses::NAMED.iter().map(|(name, _)| *name) {
        assert!(
            missed.iter().any(|own| own == name),
            "{name} is no miss any more"
        );
    }
}
