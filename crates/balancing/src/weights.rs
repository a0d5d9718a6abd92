// SPDX-License-Identifier: Apache-2.0
//! Weights laid end to end on a line: a point on it belongs to one candidate.
use tidegate_contract::{Candidates, Endpoint};
use tidegate_core::Draw;

/// A candidate's effective weight; at least 1, so that a total is never 0.
#[inline]
pub(crate) fn of(endpoint: &Endpoint) -> u64 {
    endpoint.effective_weight().max(1)
}

/// Whether `load` per `weight` is more than `other` per `other_weight`, without dividing.
#[inline]
pub(crate) fn is_busier(load: u32, weight: u64, other: u32, other_weight: u64) -> bool {
    u128::from(load) * u128::from(other_weight) > u128::from(other) * u128::from(weight)
}

/// The length of the line.
#[inline]
pub(crate) fn total(candidates: &Candidates<'_>) -> u64 {
    candidates.iter().map(|(_, endpoint)| of(endpoint)).sum()
}

/// Position and endpoint of the candidate that `point` belongs to, when those at the positions
/// `except` are not on the line; the last one beyond its end, which weights that change between
/// two looks can bring about. `None` only for an empty line.
#[inline]
pub(crate) fn at<'a>(
    candidates: &Candidates<'a>,
    except: &[usize],
    point: u64,
) -> Option<(usize, &'a Endpoint)> {
    let on_line = || {
        let each = candidates.iter();
        each.filter(|(position, _)| !except.contains(position))
    };
    let mut left = point;
    let found = on_line().find(|(_, endpoint)| match left.checked_sub(of(endpoint)) {
        None => true,
        Some(rest) => {
            left = rest;
            false
        }
    });
    found.or_else(|| on_line().last())
}

/// The position of a candidate drawn by weight.
#[inline]
pub(crate) fn drawn(candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
    let point = draw.below(total(candidates));
    at(candidates, &[], point).map(|(position, _)| position)
}

/// The position of the candidate on whose part of the line the key lies.
pub(crate) fn by_key(candidates: &Candidates<'_>, key: u64) -> Option<usize> {
    let point = (u128::from(key) * u128::from(total(candidates))) >> 64;
    at(candidates, &[], point as u64).map(|(position, _)| position)
}
