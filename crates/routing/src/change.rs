// SPDX-License-Identifier: Apache-2.0
use crate::CompiledRoute;
use crate::slots::Slots;
use std::sync::Arc;

/// What leads from one table's routes to another list of routes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Slots of routes that are gone or have to be sorted in anew; none twice.
    pub(crate) remove: Vec<u32>,
    /// Routes to put in, with their positions in the file.
    pub(crate) add: Vec<(u32, Arc<CompiledRoute>)>,
    /// Slots that stay, with their new positions.
    pub(crate) keep: Vec<(u32, u32)>,
}

impl Change {
    /// Compares by identity: a route is the same as long as the `Arc` is.
    ///
    /// Of the routes in both lists, the longest run that kept its order stays; one that moved
    /// against it is taken out and put in again, so that buckets stay sorted.
    pub(crate) fn between(slots: &Slots, routes: &[Arc<CompiledRoute>]) -> Self {
        let mut old: crate::Map<usize, (u32, u32)> = crate::Map::default();
        let mut change = Self::default();
        for (slot, position, route) in slots.iter() {
            // A route that is in the list twice keeps one place.
            change.remove.extend(
                old.insert(identity(route), (slot, position))
                    .map(|(slot, _)| slot),
            );
        }
        let mut stayed = Vec::with_capacity(routes.len());
        for (position, route) in (0u32..).zip(routes) {
            match old.remove(&identity(route)) {
                Some((slot, before)) => stayed.push(Stayed {
                    slot,
                    before,
                    position,
                }),
                None => change.add.push((position, Arc::clone(route))),
            }
        }
        change.remove.extend(old.values().map(|(slot, _)| *slot));
        let in_order = longest_increasing(&stayed);
        for (index, Stayed { slot, position, .. }) in stayed.into_iter().enumerate() {
            if in_order.get(index) == Some(&true) {
                change.keep.push((slot, position));
            } else if let Some(route) = slots.route(slot) {
                change.remove.push(slot);
                change.add.push((position, Arc::clone(route)));
            }
        }
        change
    }
}

struct Stayed {
    slot: u32,
    before: u32,
    position: u32,
}

fn identity(route: &Arc<CompiledRoute>) -> usize {
    Arc::as_ptr(route).addr()
}

/// Marks a longest increasing run of the old positions (Fredman 1975: patience sorting).
fn longest_increasing(stayed: &[Stayed]) -> Vec<bool> {
    let before = |index: usize| stayed.get(index).map_or(0, |item| item.before);
    // Piles' tops: the index whose old position ends the best run of each length.
    let mut tops: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(stayed.len());
    for index in 0..stayed.len() {
        let pile = tops.partition_point(|top| before(*top) < before(index));
        previous.push(
            pile.checked_sub(1)
                .and_then(|below| tops.get(below).copied()),
        );
        match tops.get_mut(pile) {
            Some(top) => *top = index,
            None => tops.push(index),
        }
    }
    let mut is_in = vec![false; stayed.len()];
    let mut next = tops.last().copied();
    while let Some(index) = next {
        if let Some(mark) = is_in.get_mut(index) {
            *mark = true;
        }
        next = previous.get(index).copied().flatten();
    }
    is_in
}
