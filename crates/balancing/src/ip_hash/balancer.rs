// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::maglev_table::MaglevTable;
use crate::prepared::Prepared;
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use tidegate_contract::{Balancer, BalancerState, Candidates, KeyOf};
use tidegate_core::Draw;

/// Slots of the table: the prime after 2^16.
const SLOTS: u64 = 65_537;

/// Sends each network of clients to one endpoint, by a Maglev table.
#[derive(Clone, Copy, Debug)]
pub struct IpHash {
    key: KeyOf,
}

impl IpHash {
    /// The balancer that looks at as much of an address as the settings say.
    ///
    /// # Errors
    /// An address has no such prefix.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let (ipv4, ipv6) = (settings.ipv4_prefix, settings.ipv6_prefix);
        if ipv4 > 32 || ipv6 > 128 {
            return Err(format!(
                "ip_hash: prefixes are /{ipv4} and /{ipv6}; write at most 32 and 128"
            ));
        }
        let key = KeyOf::Client { ipv4, ipv6 };
        Ok(Self { key })
    }
}

impl Balancer for IpHash {
    fn new_state(&self) -> BalancerState {
        Arc::new(Prepared::<MaglevTable>::default())
    }

    fn key_of(&self) -> KeyOf {
        self.key
    }

    fn pick(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize> {
        let Some(key) = key else {
            return weights::drawn(candidates, draw);
        };
        self.certain(state, candidates, key)
    }

    fn certain(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: u64,
    ) -> Option<usize> {
        let make = || MaglevTable::new(candidates.endpoints(), SLOTS);
        state
            .downcast_ref::<Prepared<MaglevTable>>()?
            .ask(candidates, make, |table| table.find(candidates, key))
    }

    fn shares(&self, candidates: &Candidates<'_>) -> Vec<f64> {
        weights::shares(candidates)
    }
}
