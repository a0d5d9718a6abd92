// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::weights;
use std::any::Any;
use tidegate_contract::{Average, Balancer, Candidates, Endpoint};
use tidegate_core::{Draw, Moment};

/// What an endpoint counts as that has requests in flight and was never heard of: worse than any
/// that was, so that a new one is tried by one request and not by a thousand.
const UNHEARD_US: f64 = 1e12;

/// How many times cheaper the second drawn must be: the averages of endpoints that are alike differ
/// by accident, and what is drawn first is drawn by weight.
const CLEARLY: f64 = 1.25;

/// Compares two endpoints drawn by weight and takes the first unless the second is clearly
/// cheaper; by as much as it is lighter, if it is: a heavy one is not left for a faster one that is
/// to take a hundredth of its share. The cost is how long an endpoint takes to answer, times this
/// request and what is in flight there per weight.
///
/// The latency is an average that forgets with the time constant `decay` and jumps up at once: a
/// peak counts when it comes and is forgotten slowly. It also decays while nothing is sent, so
/// that an endpoint that was slow is tried again. Finagle's "Peak EWMA" balancer is the model.
#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    decay_ms: u64,
    failure_us: f64,
}

impl PeakEwma {
    /// The balancer as the settings say.
    ///
    /// # Errors
    /// `decay` is 0.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        if settings.decay.0 == 0 {
            return Err("peak_ewma: `decay` is 0; write a duration above 0, such as 10s".into());
        }
        Ok(Self {
            decay_ms: settings.decay.0,
            failure_us: settings.failure.0 as f64 * 1000.0,
        })
    }

    /// The average as of now, in microseconds; 0 before the first answer.
    fn latency(&self, endpoint: &Endpoint, now: Moment) -> f64 {
        endpoint.state.latency.get().map_or(0.0, |(value, at)| {
            value * Average::kept(at, now, self.decay_ms)
        })
    }

    /// `average` is the candidates' average weight.
    fn cost(
        &self,
        candidates: &Candidates<'_>,
        (position, endpoint): (usize, &Endpoint),
        average: f64,
    ) -> f64 {
        let in_flight = f64::from(candidates.in_flight(position));
        let mut latency = self.latency(endpoint, candidates.now());
        if latency == 0.0 && in_flight > 0.0 {
            latency = UNHEARD_US;
        }
        latency * (1.0 + in_flight * average / weights::of(endpoint) as f64)
    }
}

impl Balancer for PeakEwma {
    fn observes(&self) -> bool {
        true
    }

    fn observe(&self, endpoint: &Endpoint, latency_us: u64, is_failure: bool, now: Moment) {
        let mut latency = latency_us as f64;
        if is_failure {
            latency = latency.max(self.failure_us);
        }
        let average = &endpoint.state.latency;
        let next = match average.get() {
            Some((value, at)) if value > latency => {
                let kept = Average::kept(at, now, self.decay_ms);
                value * kept + latency * (1.0 - kept)
            }
            _ => latency,
        };
        average.set(next, now);
    }

    fn pick(
        &self,
        _state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        _key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize> {
        let total = weights::total(candidates);
        let first = weights::at(candidates, &[], draw.below(total))?;
        let left = total.saturating_sub(weights::of(first.1));
        let Some(second) = weights::at(candidates, &[first.0], draw.below(left)) else {
            return Some(first.0);
        };
        let average = total as f64 / candidates.len() as f64;
        let lighter = weights::of(first.1) as f64 / weights::of(second.1) as f64;
        let is_better = self.cost(candidates, second, average) * CLEARLY * lighter.max(1.0)
            < self.cost(candidates, first, average);
        Some(if is_better { second.0 } else { first.0 })
    }
}
