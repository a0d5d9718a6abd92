// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::maglev_table::MaglevTable;
use crate::prepared::Prepared;
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use tidegate_contract::{Balancer, BalancerState, Candidates, KeyOf};
use tidegate_core::Draw;

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

impl Balancer for Maglev {
    fn new_state(&self) -> BalancerState {
        Arc::new(Prepared::<MaglevTable>::default())
    }

    fn key_of(&self) -> KeyOf {
        KeyOf::Hash
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
        let make = || MaglevTable::new(candidates.endpoints(), self.slots);
        state
            .downcast_ref::<Prepared<MaglevTable>>()?
            .ask(candidates, make, |table| table.find(candidates, key))
    }

    fn shares(&self, candidates: &Candidates<'_>) -> Vec<f64> {
        weights::shares(candidates)
    }
}
