// SPDX-License-Identifier: Apache-2.0
//! Leaving endpoints out for a time, and who stands out from the others.
use crate::snapshot::{BackendPlan, EndpointList};
use std::sync::atomic::Ordering;
use tidegate_config::{LatencyOutliers, RateOutliers};
use tidegate_contract::{EndpointState, Health};
use tidegate_core::Moment;

/// Leaves an endpoint out, unless it is out already or too many are. The time grows with each
/// exclusion and shrinks again while the endpoint is in. Tells for how many milliseconds.
pub(crate) fn exclude(
    plan: &BackendPlan,
    list: &EndpointList,
    state: &EndpointState,
    now: Moment,
) -> Option<u64> {
    let settings = &plan.config.passive_health;
    let endpoints = &list.endpoints;
    let out = endpoints
        .iter()
        .filter(|other| other.state.is_excluded(now) || other.state.health() == Health::Down)
        .count();
    let allowed = endpoints.len() * usize::from(settings.max_excluded_percent) / 100;
    if !settings.enabled || state.is_excluded(now) || out >= allowed {
        return None;
    }
    let step = settings.exclude_for.0.max(1);
    let ended = state.excluded_until.load(Ordering::Relaxed);
    let forgiven = now.millis().saturating_sub(ended) / step;
    let before = u64::from(state.exclusions.load(Ordering::Relaxed)).saturating_sub(forgiven);
    let times = before.saturating_add(1);
    let millis = step
        .saturating_mul(times)
        .min(settings.exclude_at_most.0.max(step));
    state
        .exclusions
        .store(u32::try_from(times).unwrap_or(u32::MAX), Ordering::Relaxed);
    state.excluded_total.fetch_add(1, Ordering::Relaxed);
    let until = now.after_millis(millis).millis().max(1);
    state.excluded_until.store(until, Ordering::Relaxed);
    state.failures.store(0, Ordering::Relaxed);
    plan.shared.changes.fetch_add(1, Ordering::Release);
    Some(millis)
}

/// What one endpoint did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) answers: u64,
    pub(crate) answers_us: u64,
}

impl Tally {
    /// What it has done since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failures: self.failures.saturating_sub(before.failures),
            answers: self.answers.saturating_sub(before.answers),
            answers_us: self.answers_us.saturating_sub(before.answers_us),
        }
    }

    /// What an endpoint has ever done.
    pub(crate) fn of(state: &EndpointState) -> Self {
        Self {
            requests: state.requests.load(Ordering::Relaxed),
            failures: state.failures_total.load(Ordering::Relaxed),
            answers: state.answers.load(Ordering::Relaxed),
            answers_us: state.answers_us.load(Ordering::Relaxed),
        }
    }
}

/// Who stands out, and what to say of it.
pub(crate) type Outlier = (usize, String);

/// The endpoints whose share of successes is far below that of the others: more standard deviations
/// under the mean than the settings allow.
pub(crate) fn by_rate(tallies: &[Tally], settings: &RateOutliers) -> Vec<Outlier> {
    let enough = u64::from(settings.requests);
    let rates: Vec<(usize, f64)> = tallies
        .iter()
        .enumerate()
        .filter(|(_, tally)| tally.requests >= enough)
        .map(|(index, tally)| {
            let failed = tally.failures.min(tally.requests) as f64;
            (index, 1.0 - failed / tally.requests.max(1) as f64)
        })
        .collect();
    if rates.len() < usize::from(settings.endpoints) {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let squares: f64 = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum();
    let deviation = (squares / count).sqrt();
    let least = mean - deviation * f64::from(settings.deviations_percent) / 100.0;
    let below = rates.into_iter().filter(|(_, rate)| *rate < least);
    let told = |rate: f64| {
        format!(
            "{:.1} % of its requests succeed, {:.1} % of all",
            rate * 100.0,
            mean * 100.0
        )
    };
    below.map(|(index, rate)| (index, told(rate))).collect()
}

/// The endpoints that answer so much later than the median of all.
pub(crate) fn by_latency(tallies: &[Tally], settings: &LatencyOutliers) -> Vec<Outlier> {
    let enough = u64::from(settings.requests);
    let means: Vec<(usize, f64)> = tallies
        .iter()
        .enumerate()
        .filter(|(_, tally)| tally.answers >= enough)
        .map(|(index, tally)| (index, tally.answers_us as f64 / tally.answers.max(1) as f64))
        .collect();
    if means.len() < usize::from(settings.endpoints) {
        return Vec::new();
    }
    let mut sorted: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
    sorted.sort_by(f64::total_cmp);
    // Of an even number the lower one: of two endpoints the faster.
    let median = sorted
        .get((sorted.len() - 1) / 2)
        .copied()
        .unwrap_or_default();
    let most = median * f64::from(settings.factor_percent) / 100.0;
    let least = settings.least.0 as f64 * 1000.0;
    let above = means
        .into_iter()
        .filter(|(_, mean)| *mean > most && *mean > least);
    let told = |mean: f64| {
        format!(
            "it answers in {:.1} ms, the others in {:.1} ms",
            mean / 1000.0,
            median / 1000.0
        )
    };
    above.map(|(index, mean)| (index, told(mean))).collect()
}

#[cfg(test)]
mod tests;
