// SPDX-License-Identifier: Apache-2.0
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use std::fmt;
use std::mem::replace;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tidegate_core::Clock;

/// How long one key seals, in seconds.
const PERIOD: u32 = 6 * 60 * 60;

/// The keys that session tickets are sealed with: made here, shared by all threads, exchanged every
/// six hours. A ticket is taken in the six hours in which it was sealed and the six that follow. Each
/// listener has its own, so that a session that was begun under the terms of one is not taken up under
/// those of another (CVE-2025-23419).
#[derive(Clone)]
pub struct Tickets(Arc<Keys>);

impl Tickets {
    /// Fresh keys, of which each lasts as `clock` says.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(clock: &Clock) -> Result<Self, String> {
        let keys = Keys {
            clock: clock.clone(),
            held: RwLock::new(Held {
                period: period(clock),
                current: Ticketer::new().map_err(|error| error.to_string())?,
                previous: None,
            }),
        };
        Ok(Self(Arc::new(keys)))
    }

    /// Whether something besides the one who asks has them.
    pub fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// As rustls takes them.
    pub(crate) fn ticketer(self) -> Arc<dyn ProducesTickets> {
        self.0
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tickets")
    }
}

/// The number of the six hours that it is.
fn period(clock: &Clock) -> u64 {
    clock.now().millis() / 1000 / u64::from(PERIOD)
}

/// What holds the keys, and exchanges them when they are used. rustls has the like, which goes by the
/// system's time, and where nobody has come for long takes what was sealed before, however old it is.
struct Keys {
    clock: Clock,
    held: RwLock<Held>,
}

/// What sealed in the period before and what seals in this one. Each exchanges keys of its own as well,
/// but takes what it has sealed for longer than it is kept here.
struct Held {
    period: u64,
    current: Arc<dyn ProducesTickets>,
    previous: Option<Arc<dyn ProducesTickets>>,
}

impl Keys {
    /// The keys of now; `None` when the system gives no random bytes for the next one: then no session
    /// is taken up again.
    fn held(&self) -> Option<RwLockReadGuard<'_, Held>> {
        let read = || self.held.read().unwrap_or_else(PoisonError::into_inner);
        let now = period(&self.clock);
        let held = read();
        if held.period >= now {
            return Some(held);
        }
        drop(held);
        let next = Ticketer::new().ok()?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if held.period < now {
            let last = replace(&mut held.current, next);
            held.previous = (held.period + 1 == now).then_some(last);
            held.period = now;
        }
        drop(held);
        Some(read())
    }
}

impl ProducesTickets for Keys {
    fn enabled(&self) -> bool {
        true
    }

    /// In seconds, as clients are told: no ticket is taken for longer.
    fn lifetime(&self) -> u32 {
        2 * PERIOD
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.held()?.current.encrypt(plain)
    }

    fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let held = self.held()?;
        let previous = || held.previous.as_ref()?.decrypt(sealed);
        held.current.decrypt(sealed).or_else(previous)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys")
    }
}
