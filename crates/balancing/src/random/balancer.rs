// SPDX-License-Identifier: Apache-2.0
use crate::weights;
use std::any::Any;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

/// Draws an endpoint by weight and remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Balancer for Random {
    fn pick(
        &self,
        _state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        _key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize> {
        weights::drawn(candidates, draw)
    }
}
