// SPDX-License-Identifier: Apache-2.0
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tidegate_config::{Hidden, Kind, Resource, SecretSet, shown};

type Key = (Kind, String);
type Values = BTreeMap<String, Hidden>;

/// What a log has in the place of a secret, as of whatever else it leaves out.
const REDACTED: &[u8] = b"[redacted]";

/// Bytes from which a secret is looked for inside of values.
const LONG: usize = 8;

/// The secrets of a snapshot, by the resource that refers to them.
#[derive(Default)]
pub(crate) struct Secrets {
    sets: BTreeMap<Key, Arc<Values>>,
    /// Every value with what is shown in its place.
    shown: HashMap<Box<[u8]>, String>,
}

impl Secrets {
    /// Those of the snapshot that comes after one with `before`.
    pub(crate) fn changed(
        before: Option<&Self>,
        set: &[Resource],
        remove: &[Key],
        fresh: &[SecretSet],
    ) -> Self {
        let mut sets = before.map(|before| before.sets.clone()).unwrap_or_default();
        if !sets.is_empty() {
            for key in remove {
                sets.remove(key);
            }
            for resource in set {
                sets.remove(&(resource.kind, resource.name.clone()));
            }
        }
        for each in fresh {
            sets.insert(
                (each.kind, each.name.clone()),
                Arc::new(each.values.clone()),
            );
        }
        let all = sets.values().flat_map(|values| values.iter());
        let shown = all
            .filter(|(_, value)| !value.reveal().is_empty())
            .map(|(id, value)| (value.reveal().as_bytes().into(), shown(id)))
            .collect();
        Self { sets, shown }
    }

    /// Those that one resource refers to.
    pub(crate) fn of(&self, key: &Key) -> Option<&Values> {
        self.sets.get(key).map(|values| &**values)
    }

    /// All of them, for the wire and the disk.
    pub(crate) fn sets(&self) -> Vec<SecretSet> {
        let all = self.sets.iter().map(|((kind, name), values)| SecretSet {
            kind: *kind,
            name: name.clone(),
            values: Values::clone(values),
        });
        all.collect()
    }

    /// A value as `explain` may show it.
    pub(crate) fn shown<'a>(&'a self, value: &'a str) -> &'a str {
        let found = self.shown.get(value.as_bytes());
        found.map_or(value, |shown| shown)
    }

    /// A value as a log may have it.
    pub(crate) fn logged<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        match self.shown.contains_key(value) {
            true => REDACTED,
            false => value,
        }
    }

    /// A field as a log may have it: a secret may be part of it, as of `Cookie`. One of a few bytes
    /// is taken for one only if it is the whole: `1` is part of too much.
    pub(crate) fn logged_field<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        let is_part = |secret: &[u8]| {
            secret.len() >= LONG && value.windows(secret.len()).any(|part| part == secret)
        };
        match self.shown.keys().any(|secret| is_part(secret)) {
            true => REDACTED,
            false => self.logged(value),
        }
    }

    /// A query as a log may have it: a parameter may be what a match compares with a secret.
    pub(crate) fn logged_query<'a>(&self, query: &'a [u8]) -> Cow<'a, [u8]> {
        if self.shown.is_empty() || query.is_empty() {
            return Cow::Borrowed(query);
        }
        let pairs = query.split(|byte| *byte == b'&').map(|pair| {
            let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
                return Cow::Borrowed(pair);
            };
            let (name, value) = pair.split_at(at + 1);
            match self
                .shown
                .contains_key(&*tidegate_routing::decoded_query(value))
            {
                true => Cow::Owned([name, REDACTED].concat()),
                false => Cow::Borrowed(pair),
            }
        });
        Cow::Owned(pairs.collect::<Vec<_>>().join(&b'&'))
    }
}
