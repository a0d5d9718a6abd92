// SPDX-License-Identifier: Apache-2.0
use crate::CompiledRoute;
use crate::pattern::PathPattern;
use crate::route::Rank;
use std::cmp::Reverse;
use std::sync::Arc;

/// Where every route of a table is kept: a number that stays the same for as long as the route
/// stays in the table, while its position in the file may move.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
}

/// A route, and what decides most lookups without a look at it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) route: Arc<CompiledRoute>,
    pub(crate) position: u32,
    /// Whether host and path are all it asks of a request.
    pub(crate) is_plain: bool,
    /// Whether its path is a template.
    pub(crate) is_template: bool,
}

impl Slots {
    pub(crate) fn add(&mut self, route: Arc<CompiledRoute>, position: u32) -> u32 {
        let place = Some(Place {
            is_plain: route.is_plain(),
            is_template: matches!(route.path(), PathPattern::Template(_)),
            route,
            position,
        });
        if let Some(slot) = self.free.pop()
            && let Some(free) = self.places.get_mut(slot as usize)
        {
            *free = place;
            return slot;
        }
        self.places.push(place);
        (self.places.len() - 1) as u32
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Arc<CompiledRoute>> {
        let place = self.places.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(place.route)
    }

    pub(crate) fn set_position(&mut self, slot: u32, position: u32) {
        if let Some(Some(place)) = self.places.get_mut(slot as usize) {
            place.position = position;
        }
    }

    #[inline]
    pub(crate) fn route(&self, slot: u32) -> Option<&Arc<CompiledRoute>> {
        self.place(slot).map(|place| &place.route)
    }

    #[inline]
    pub(crate) fn position(&self, slot: u32) -> Option<usize> {
        self.place(slot).map(|place| place.position as usize)
    }

    /// What routes with equally precise hosts and paths are sorted by, the first in front.
    pub(crate) fn order(&self, slot: u32) -> Option<(Reverse<Rank>, u32)> {
        self.place(slot)
            .map(|place| (Reverse(place.route.rank()), place.position))
    }

    /// How many slots there are, empty ones included: more than any position.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Slot, position and route of all routes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, &Arc<CompiledRoute>)> {
        (0u32..)
            .zip(&self.places)
            .filter_map(|(slot, place)| place.as_ref().map(|p| (slot, p.position, &p.route)))
    }

    #[inline]
    pub(crate) fn place(&self, slot: u32) -> Option<&Place> {
        self.places.get(slot as usize)?.as_ref()
    }
}
