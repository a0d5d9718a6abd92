// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::by_key::KeyTable;
use crate::maglev_table::MaglevTable;
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint};

/// Sends each key to the endpoint of its slot in a Maglev table.
#[derive(Clone, Copy, Debug)]
pub struct Maglev {
    slots: u64,
}

impl Maglev {
    /// The balancer with a table as large as the settings say.
    ///
    /// # Errors
    /// The size is no prime from 101 to 5,000,011.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let slots = u64::from(settings.table_size);
        if (101..=5_000_011).contains(&slots) && is_prime(slots) {
            return Ok(Self { slots });
        }
        Err(format!(
            "maglev: `table_size` is {slots}; write a prime from 101 to 5000011"
        ))
    }
}

fn is_prime(number: u64) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number > 1 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

impl KeyTable for Maglev {
    type Table = MaglevTable;

    fn make(&self, endpoints: &[Arc<Endpoint>]) -> MaglevTable {
        MaglevTable::new(endpoints, self.slots)
    }

    fn find(&self, table: &MaglevTable, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        table.find(candidates, key)
    }
}
