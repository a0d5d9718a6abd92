// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::weights;
use std::any::Any;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

/// The most endpoints compared for one request.
const MOST: usize = 8;

/// Compares `choices` distinct endpoints drawn by weight and takes the one with the fewest
/// requests in flight per weight; ties go to the first drawn.
///
/// Two choices already keep the busiest endpoint near the average (Mitzenmacher, The Power of Two
/// Choices in Randomized Load Balancing, 2001). The least busy of all would send what several
/// gateways decide in the same moment to one and the same endpoint.
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    choices: usize,
}

/// A drawn candidate and how busy it is.
#[derive(Clone, Copy)]
struct Drawn {
    position: usize,
    in_flight: u32,
    weight: u64,
}

impl LeastRequest {
    /// The balancer that compares as many as the settings say.
    ///
    /// # Errors
    /// `choices` is not 2 to 8.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let choices = usize::from(settings.choices);
        if (2..=MOST).contains(&choices) {
            Ok(Self { choices })
        } else {
            Err(format!(
                "least_request: `choices` is {choices}; write a number from 2 to {MOST}"
            ))
        }
    }
}

impl Drawn {
    fn is_busier_than(self, other: Self) -> bool {
        weights::is_busier(self.in_flight, self.weight, other.in_flight, other.weight)
    }
}

impl Balancer for LeastRequest {
    /// `in_flight` is counted for the whole node, not for one thread: two threads must see the
    /// same busy endpoint.
    fn pick(
        &self,
        _state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        _key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize> {
        let mut total = weights::total(candidates);
        let mut positions = [0; MOST];
        let mut best: Option<Drawn> = None;
        for taken in 0..self.choices.min(candidates.len()) {
            // What was drawn lies on the line no more, so all draws are distinct.
            let except = positions.get(..taken)?;
            let (position, endpoint) = weights::at(candidates, except, draw.below(total))?;
            let weight = weights::of(endpoint);
            let drawn = Drawn {
                position,
                in_flight: candidates.in_flight(position),
                weight,
            };
            if best.is_none_or(|best| best.is_busier_than(drawn)) {
                best = Some(drawn);
            }
            total = total.saturating_sub(weight);
            *positions.get_mut(taken)? = position;
        }
        best.map(|best| best.position)
    }
}
