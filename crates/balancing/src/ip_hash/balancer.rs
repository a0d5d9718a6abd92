// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::by_key::KeyTable;
use crate::maglev_table::MaglevTable;
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint, KeyOf};

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

impl KeyTable for IpHash {
    type Table = MaglevTable;

    fn key_of(&self) -> KeyOf {
        self.key
    }

    fn make(&self, endpoints: &[Arc<Endpoint>]) -> MaglevTable {
        MaglevTable::new(endpoints, SLOTS)
    }

    fn find(&self, table: &MaglevTable, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        table.find(candidates, key)
    }
}
