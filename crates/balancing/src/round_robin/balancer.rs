// SPDX-License-Identifier: Apache-2.0
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_contract::{Balancer, BalancerState, Candidates};
use tidegate_core::{Draw, Padded};

/// 2^64 divided by the golden ratio, made odd: its multiples, taken modulo 2^64, spread more
/// evenly than those of any other number (Knuth, The Art of Computer Programming 3, §6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many picks there have been, on all threads of the node together.
#[derive(Default)]
struct Turns(Padded<AtomicU64>);

/// Lets endpoints take turns: in exact rotation when their weights are equal, otherwise as often
/// as their weights say and evenly spread.
///
/// Unequal weights use the turn's point in a Weyl sequence on the line of all weights. Unlike
/// smooth weighted rotation it keeps no count per endpoint: threads share one atomic number, and a
/// changed list of candidates needs no reset. After n picks an endpoint is off its share by a few
/// picks (the error grows with log n), not by a random walk.
#[derive(Clone, Copy, Debug)]
pub struct RoundRobin;

impl Balancer for RoundRobin {
    fn new_state(&self) -> BalancerState {
        Arc::new(Turns::default())
    }

    fn pick(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        _key: Option<u64>,
        _draw: &mut Draw,
    ) -> Option<usize> {
        let turn = state
            .downcast_ref::<Turns>()?
            .0
            .fetch_add(1, Ordering::Relaxed);
        if candidates.is_even() {
            return usize::try_from(turn.checked_rem(candidates.len() as u64)?).ok();
        }
        let total = weights::total(candidates);
        let point = (u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(total)) >> 64;
        weights::at(candidates, &[], point as u64).map(|(position, _)| position)
    }

    fn shares(&self, candidates: &Candidates<'_>) -> Vec<f64> {
        weights::shares(candidates)
    }
}
