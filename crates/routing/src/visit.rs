// SPDX-License-Identifier: Apache-2.0
use crate::route::{Asked, Ends, Miss};
use crate::slots::Place;
use tidegate_request::Request;

/// Judges the routes that a search comes across, in order of precedence. The live path and
/// `explain` differ in nothing else.
pub(crate) trait Visit {
    /// Whether the route takes the request; `path_fits` is what the tables found out already.
    fn route(&mut self, slot: u32, place: &Place, path_fits: bool) -> bool;
}

/// Decides and forgets.
pub(crate) struct Decide<'r> {
    pub(crate) request: &'r Request,
    pub(crate) ends: Ends,
}

impl Visit for Decide<'_> {
    #[inline]
    fn route(&mut self, _slot: u32, place: &Place, path_fits: bool) -> bool {
        let admits = || place.route.admits(self.request, self.ends).is_ok();
        path_fits && (place.is_plain || admits())
    }
}

/// Decides for the request that a browser asks about.
pub(crate) struct Foresee<'r> {
    pub(crate) asked: Asked<'r>,
    pub(crate) request: &'r Request,
    pub(crate) ends: Ends,
}

impl Visit for Foresee<'_> {
    fn route(&mut self, _slot: u32, place: &Place, path_fits: bool) -> bool {
        let route = &place.route;
        path_fits && route.admits_asked(&self.asked, self.request, self.ends)
    }
}

/// Decides and remembers why.
pub(crate) struct Record<'r> {
    pub(crate) decide: Decide<'r>,
    /// Slot and outcome of each route, in the order they were judged.
    pub(crate) outcomes: Vec<(u32, Outcome)>,
}

/// What became of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    Path,
    Missed(Miss),
}

impl Visit for Record<'_> {
    fn route(&mut self, slot: u32, place: &Place, path_fits: bool) -> bool {
        let outcome = match place.route.admits(self.decide.request, self.decide.ends) {
            _ if !path_fits => Outcome::Path,
            Ok(()) => Outcome::Taken,
            Err(miss) => Outcome::Missed(miss),
        };
        self.outcomes.push((slot, outcome));
        outcome == Outcome::Taken
    }
}
