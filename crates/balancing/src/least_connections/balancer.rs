// SPDX-License-Identifier: Apache-2.0
use crate::turns::{self, Turns};
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use tidegate_contract::{Balancer, BalancerState, Candidates};
use tidegate_core::Draw;

/// Takes the one candidate of all with the fewest requests in flight per weight; where several
/// have as few, they take turns as their weights say.
///
/// A request in flight is a connection in use: idle connections in the pool burden nobody.
#[derive(Clone, Copy, Debug)]
pub struct LeastConnections;

/// The least busy candidates seen so far.
#[derive(Clone, Copy)]
struct Least {
    in_flight: u32,
    weight: u64,
    /// The weights of all that tie, and whether they are equal.
    total: u64,
    count: u64,
    is_even: bool,
}

impl Balancer for LeastConnections {
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
        let mut least: Option<Least> = None;
        for (position, endpoint) in candidates.iter() {
            let (in_flight, weight) = (candidates.in_flight(position), weights::of(endpoint));
            match &mut least {
                Some(least)
                    if weights::is_busier(in_flight, weight, least.in_flight, least.weight) => {}
                Some(least)
                    if !weights::is_busier(least.in_flight, least.weight, in_flight, weight) =>
                {
                    least.total += weight;
                    least.count += 1;
                    least.is_even &= weight == least.weight;
                }
                _ => {
                    least = Some(Least {
                        in_flight,
                        weight,
                        total: weight,
                        count: 1,
                        is_even: true,
                    });
                }
            }
        }
        let least = least?;
        let mut left = match (least.count, state.downcast_ref::<Turns>()?) {
            (1, _) => 0,
            (count, turns) if least.is_even => turns.next() % count * least.weight,
            (_, turns) => turns::point(turns.next(), least.total),
        };
        let mut last = None;
        for (position, endpoint) in candidates.iter() {
            let (in_flight, weight) = (candidates.in_flight(position), weights::of(endpoint));
            // Other threads go on counting: who has become busier since the first look is left out,
            // and the last that tied stands in.
            if weights::is_busier(in_flight, weight, least.in_flight, least.weight) {
                continue;
            }
            last = Some(position);
            match left.checked_sub(weight) {
                None => return last,
                Some(rest) => left = rest,
            }
        }
        // All became busier in between.
        last.or(Some(0))
    }
}
