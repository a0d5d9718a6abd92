// SPDX-License-Identifier: Apache-2.0
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that sessions are remembered of.
const MOST_NAMES: usize = 256;
/// Tickets of TLS 1.3 for one name: each is used once (RFC 8446 §C.4).
const MOST_TICKETS: usize = 8;

#[derive(Debug, Default)]
struct OfName {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

/// The sessions with a backend's endpoints, by the name that was asked for. Bounded: with another name
/// than it has room for, it forgets one.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<HashMap<ServerName<'static>, OfName>>);

impl Remembered {
    fn all(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, OfName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: ServerName<'static>, change: impl FnOnce(&mut OfName)) {
        let mut all = self.all();
        if all.len() >= MOST_NAMES
            && !all.contains_key(&name)
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        change(all.entry(name).or_default());
    }
}

impl ClientSessionStore for Remembered {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.change(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.all().get(name)?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.change(name, |known| known.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.all().get(name)?.tls12.clone()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(known) = self.all().get_mut(name) {
            known.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.change(name, |known| {
            if known.tickets.len() >= MOST_TICKETS {
                known.tickets.pop_front();
            }
            known.tickets.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.all().get_mut(name)?.tickets.pop_back()
    }
}
