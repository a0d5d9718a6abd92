// SPDX-License-Identifier: Apache-2.0
//! A condition in CEL: refused with a place inside of it, or computed to the same value each time, in bounded time.
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::sync::LazyLock;
use tidegate_expression::{Environment, Expression, Fields, Timestamp, Type, Value, Variables};

/// What expressions are made of.
pub const PIECES: &[&[u8]] = &[
    b"request.method",
    b"request.headers",
    b"claims",
    b"client",
    b"now",
    b"\"a,b\"",
    b"'\\u00e9\\\\'",
    b"b'\\377'",
    b"9223372036854775807",
    b"18446744073709551615u",
    b"-1",
    b"1e308",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b".",
    b", ",
    b" + ",
    b" - ",
    b" * ",
    b" / ",
    b" % ",
    b" == ",
    b" < ",
    b" in ",
    b" && ",
    b" || ",
    b" ? ",
    b" : ",
    b"!",
    b".all(x, ",
    b".map(x, x, ",
    b"has(",
    b".size()",
    b".split(\"\")",
    b".replace(\"\", \"aaaa\")",
    b".matches(\"a*\")",
    b"timestamp(",
    b"int(",
    b"string(",
    b"`",
    b"//",
];

struct Given(Json);

struct Named;

impl Fields for Named {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "x-a").then_some(Cow::Borrowed("b\u{e9}c"))
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        vec![Cow::Borrowed("x-a")]
    }
}

impl Variables for Given {
    fn get(&self, variable: u16) -> Value<'_> {
        match variable {
            0 => Value::text("GET"),
            1 => Value::Fields(&Named),
            2 => Value::json(&self.0),
            3 => Value::Address([10, 0, 0, 1].into()),
            _ => Timestamp::new(1_800_000_000, 5).map_or(Value::Null, Value::Timestamp),
        }
    }
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let names = [
        ("request.method", Type::Text),
        ("request.headers", Type::map(Type::Text)),
        ("claims", Type::Dyn),
        ("client", Type::Address),
        ("now", Type::Timestamp),
    ];
    Environment::new(names.map(|(name, kind)| (name.to_owned(), kind)))
});

/// Judges `data` as an expression; whether it is one.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let read = match Expression::new(text, &ENVIRONMENT) {
        Ok(read) => read,
        Err(mistake) => {
            assert!(mistake.at <= text.len(), "{mistake}");
            assert!(!mistake.message.is_empty());
            return false;
        }
    };
    let given =
        Given(json!({"roles": ["a", "b", 3], "text": "a,b,c", "deep": {"n": null, "d": 1.5}}));
    let (one, other) = (read.evaluate(&given), read.evaluate(&given));
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    match one {
        Ok(value) => assert!(!format!("{value:?}").is_empty()),
        Err(fault) => assert!(fault.at as usize <= text.len(), "{fault}"),
    }
    true
}
