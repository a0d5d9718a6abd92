// SPDX-License-Identifier: Apache-2.0
//! Texts that may be secret, and the section of a snapshot that holds what they stand for.
use crate::{Kind, Resource};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The key of an object that stands for a secret: `{"secret": "env:API_KEY"}`.
const KEY: &str = "secret";

/// The value of a secret. `Debug` and `Display` do not show it; only serde does, for the disk.
///
/// It is not wiped when dropped: the same bytes went through message buffers and go into requests
/// for as long as the node runs. What keeps them in is that the node's memory cannot be dumped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// The secrets that one resource refers to: value by id. Empty where the values are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSet {
    /// The resource's kind.
    pub kind: Kind,
    /// The resource's name.
    pub name: String,
    /// An id says where the value came from, such as `env:API_KEY`, and nothing of the value.
    pub values: BTreeMap<String, Hidden>,
}

/// A text that may be a secret: a string, or what [`filled`] made of `{"secret": id}`.
///
/// `Debug`, `Display` and serde write the id in place of a secret's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    value: String,
    /// The id, of a secret.
    id: Option<String>,
}

/// A secret inside of a resource, once it is filled in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filled {
    id: String,
    value: String,
}

impl Text {
    /// The text itself, for the wire.
    pub fn reveal(&self) -> &str {
        &self.value
    }

    /// Whether this is the text. Of a secret the time it takes tells the length alone, so that nobody
    /// finds it out byte by byte.
    pub fn is(&self, text: &[u8]) -> bool {
        let own = self.value.as_bytes();
        if self.id.is_none() {
            return own == text;
        }
        let differ = |found, (a, b): (&u8, &u8)| std::hint::black_box(found | (a ^ b));
        own.len() == text.len() && own.iter().zip(text).fold(0, differ) == 0
    }

    /// Whether the text may not be shown.
    pub fn is_secret(&self) -> bool {
        self.id.is_some()
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self {
            value: value.into(),
            id: None,
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => formatter.write_str(&shown(id)),
            None => formatter.write_str(&self.value),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), formatter)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, or a secret that the snapshot holds")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Text, E> {
        Ok(value.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let key: Option<String> = map.next_key()?;
        if key.as_deref() != Some(KEY) {
            return Err(de::Error::custom("this object is no text and no secret"));
        }
        let Filled { id, value } = map.next_value()?;
        Ok(Text {
            value,
            id: Some(id),
        })
    }
}

/// What stands in the place of a secret wherever people look: `(secret env:API_KEY)`.
pub fn shown(id: &str) -> String {
    format!("({KEY} {id})")
}

/// A resource's value with its secrets filled in, for whoever decodes it.
///
/// # Errors
/// The id of a secret that is not there.
pub fn filled(
    resource: &Resource,
    secrets: &BTreeMap<String, Hidden>,
) -> Result<Box<RawValue>, String> {
    let fail = |error: serde_json::Error| error.to_string();
    let mut value: Value = serde_json::from_str(resource.value.get()).map_err(fail)?;
    fill(&mut value, secrets);
    serde_json::value::to_raw_value(&value).map_err(fail)
}

fn fill(value: &mut Value, secrets: &BTreeMap<String, Hidden>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, secrets)),
        Value::Object(object) => match referred(object).and_then(|id| secrets.get_key_value(id)) {
            Some((id, secret)) => {
                let filled = Map::from_iter([
                    ("id".into(), id.as_str().into()),
                    ("value".into(), secret.reveal().into()),
                ]);
                object.insert(KEY.into(), filled.into());
            }
            None => object.values_mut().for_each(|item| fill(item, secrets)),
        },
        _ => {}
    }
}

/// The id in an object that is `{"secret": id}` and nothing else.
fn referred(object: &Map<String, Value>) -> Option<&str> {
    let only = object.get(KEY).filter(|_| object.len() == 1)?;
    only.as_str()
}
