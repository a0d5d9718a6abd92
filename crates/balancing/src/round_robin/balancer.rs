// SPDX-License-Identifier: Apache-2.0
use crate::turns::{self, Turns};
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use tidegate_contract::{Balancer, BalancerState, Candidates};
use tidegate_core::Draw;

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
        let turn = state.downcast_ref::<Turns>()?.next();
        if candidates.is_even() {
            return usize::try_from(turn.checked_rem(candidates.len() as u64)?).ok();
        }
        let point = turns::point(turn, weights::total(candidates));
        weights::at(candidates, &[], point).map(|(position, _)| position)
    }
}
