// SPDX-License-Identifier: Apache-2.0
use crate::resolver::Unresolved;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::Moment;

/// Names remembered.
const NAMES: usize = 10_000;

/// What a look-up came to.
pub(crate) type Outcome = Result<Arc<[IpAddr]>, Unresolved>;

/// What names were found to be, for as long as that holds.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, (Outcome, Moment)>>);

impl Cache {
    pub(crate) fn get(&self, name: &str, now: Moment) -> Option<Outcome> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, until) = names.get(name)?;
        (now < *until).then(|| outcome.clone())
    }

    pub(crate) fn put(&self, name: &str, outcome: &Outcome, now: Moment, seconds: u32) {
        if seconds == 0 {
            return;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            names.retain(|_, (_, until)| now < *until);
        }
        if names.len() >= NAMES {
            names.clear(); // everything is found again
        }
        let until = now.after_millis(u64::from(seconds) * 1000);
        names.insert(name.to_owned(), (outcome.clone(), until));
    }
}
