// SPDX-License-Identifier: Apache-2.0
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_core::Moment;

/// Addresses that are remembered. With more of them at a time, one is forgotten for each that comes.
const ADDRESSES: usize = 65_536;

/// Wrong passwords of one address since a moment.
#[derive(Clone, Copy)]
struct Shown {
    since: Moment,
    count: u32,
}

/// How many wrong passwords each address has shown of late. Of IPv6 it is the network of 64 bits that counts,
/// which is what a client has.
pub struct Attempts {
    most: u32,
    window_ms: u64,
    shown: Mutex<HashMap<IpAddr, Shown>>,
}

impl Attempts {
    /// None so far; `most` may come in `window_ms` milliseconds, counted from the first.
    pub fn new(most: u32, window_ms: u64) -> Self {
        Self {
            most,
            window_ms,
            shown: Mutex::default(),
        }
    }

    /// Counts one as wrong before it is checked, so that many at a time are not more than one after the other.
    ///
    /// # Errors
    /// There were as many as may be; seconds until there may be another, at least one.
    pub fn begin(&self, address: IpAddr, now: Moment) -> Result<(), u64> {
        let key = network(address);
        let mut all = self.lock();
        if all.len() >= ADDRESSES && !all.contains_key(&key) {
            // Looking at all of them for each that comes would be what an attacker wants.
            let some: Vec<IpAddr> = all.keys().take(16).copied().collect();
            let mut old = some.iter().copied();
            let old = old.find(|each| {
                all.get(each)
                    .is_some_and(|shown| self.left(*shown, now) == 0)
            });
            if let Some(gone) = old.or(some.first().copied()) {
                all.remove(&gone);
            }
        }
        let shown = all.entry(key).or_insert(Shown {
            since: now,
            count: 0,
        });
        if self.left(*shown, now) == 0 {
            *shown = Shown {
                since: now,
                count: 0,
            };
        }
        if shown.count >= self.most {
            return Err(self.left(*shown, now).div_ceil(1_000_000).max(1));
        }
        shown.count += 1;
        Ok(())
    }

    /// It was right, or was not checked.
    pub fn take_back(&self, address: IpAddr) {
        let key = network(address);
        let mut all = self.lock();
        let Some(shown) = all.get_mut(&key) else {
            return;
        };
        shown.count = shown.count.saturating_sub(1);
        if shown.count == 0 {
            all.remove(&key);
        }
    }

    /// Addresses that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Microseconds until an address starts anew.
    fn left(&self, shown: Shown, now: Moment) -> u64 {
        let end = shown.since.after_millis(self.window_ms);
        end.micros_since(now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}
