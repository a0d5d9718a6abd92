// SPDX-License-Identifier: Apache-2.0
//! What settings of policies refer to, and the policies that are made of the same settings: one, wherever
//! they stand. A set of a hundred thousand keys that a thousand routes name is there once.
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_config::{PolicyUse, Resource};
use tidegate_contract::{Document, Filter};

/// What tells policies apart: the room, its settings, and what they refer to.
type Key = (String, String, BTreeMap<String, String>);

/// Resources of kind `data`, and filters by their settings.
#[derive(Default)]
pub(crate) struct Data {
    resources: Mutex<HashMap<String, Arc<Resource>>>,
    filters: Mutex<HashMap<Key, Weak<dyn Filter>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Data {
    /// Takes the resources of the snapshot that is being built in the place of all others.
    pub(crate) fn replace<'a>(&self, resources: impl Iterator<Item = &'a Arc<Resource>>) {
        let all = resources.map(|each| (each.name.clone(), each.clone()));
        *lock(&self.resources) = all.collect();
    }

    /// The policy of these settings; the one that there is, if there is one. `known` gives the node's own
    /// for a document.
    ///
    /// # Errors
    /// The room does not read the settings, or they refer to what is not there.
    pub(crate) fn filter(
        &self,
        own: &PolicyUse,
        known: &dyn Fn(Arc<Document>) -> Arc<Document>,
    ) -> Result<Arc<dyn Filter>, String> {
        let key = (
            own.kind.clone(),
            own.settings.get().to_owned(),
            own.data.clone(),
        );
        if let Some(filter) = lock(&self.filters).get(&key).and_then(Weak::upgrade) {
            return Ok(filter);
        }
        let mut filter = match own.data.is_empty() {
            true => tidegate_policies::build(own)?,
            false => tidegate_policies::build(&self.filled(own)?)?,
        };
        // Nobody else has it yet.
        if let Some(filter) = Arc::get_mut(&mut filter) {
            filter.share(known);
        }
        lock(&self.filters).insert(key, Arc::downgrade(&filter));
        Ok(filter)
    }

    /// With what the settings refer to among them.
    fn filled(&self, own: &PolicyUse) -> Result<PolicyUse, String> {
        let mut members: BTreeMap<&str, &RawValue> =
            serde_json::from_str(own.settings.get()).map_err(|error| error.to_string())?;
        let resources = lock(&self.resources);
        for (member, name) in &own.data {
            let resource = resources.get(name);
            let resource = resource.ok_or_else(|| format!("there is no data `{name}`"))?;
            members.insert(member, &resource.value);
        }
        let settings = serde_json::value::to_raw_value(&members);
        Ok(PolicyUse {
            settings: settings.map_err(|error| error.to_string())?,
            data: BTreeMap::new(),
            ..own.clone()
        })
    }

    /// Forgets filters that no snapshot has any more.
    pub(crate) fn sweep(&self) {
        lock(&self.filters).retain(|_, filter| filter.strong_count() > 0);
    }
}
