// SPDX-License-Identifier: Apache-2.0
//! Weights laid end to end on a line: a point on it belongs to one candidate.
use tidegate_contract::{Candidates, Endpoint};

/// A candidate's weight; at least 1, so that a total is never 0.
#[inline]
pub(crate) fn of(endpoint: &Endpoint) -> u64 {
    u64::from(endpoint.weight.max(1))
}

/// The length of the line.
#[inline]
pub(crate) fn total(candidates: &Candidates<'_>) -> u64 {
    candidates.iter().map(|(_, endpoint)| of(endpoint)).sum()
}

/// Position and endpoint of the candidate that `point` belongs to, when those at the positions
/// `except` are not on the line. `None` beyond its end.
#[inline]
pub(crate) fn at<'a>(
    candidates: &Candidates<'a>,
    except: &[usize],
    point: u64,
) -> Option<(usize, &'a Endpoint)> {
    let mut left = point;
    candidates
        .iter()
        .filter(|(position, _)| !except.contains(position))
        .find(|(_, endpoint)| match left.checked_sub(of(endpoint)) {
            None => true,
            Some(rest) => {
                left = rest;
                false
            }
        })
}

/// Each candidate's part of the line; they sum to 1.
pub(crate) fn shares(candidates: &Candidates<'_>) -> Vec<f64> {
    let total = total(candidates) as f64;
    candidates
        .iter()
        .map(|(_, endpoint)| of(endpoint) as f64 / total)
        .collect()
}
