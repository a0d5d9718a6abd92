// SPDX-License-Identifier: Apache-2.0
//! Priorities and zones: the groups of endpoints a backend's requests are divided among.
//!
//! Each priority takes what its well endpoints can carry, the next one the rest; within a priority
//! the gateway's own zone comes first. The division is made when endpoints or their health change,
//! not for each request.
use crate::decide::{NoEndpoint, Usable};
use crate::snapshot::{BackendPlan, EndpointList};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tidegate_contract::{Endpoint, Health};
use tidegate_core::Moment;

/// The whole of the requests, in the numbers that tickets are drawn from.
pub(crate) const WHOLE: u64 = 1 << 32;
/// How old a division may get: health that is set elsewhere is seen after this at the latest.
const FRESH_MS: u64 = 100;

/// What a division depends on besides the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The zone that comes first, where one does.
    pub(crate) zone: Option<String>,
    /// How much more than its share an endpoint can carry: 100 is nothing more.
    pub(crate) overprovisioning_percent: u16,
    /// Below this share of well endpoints health is not believed; 0 always believes it.
    pub(crate) panic_percent: u8,
}

/// Endpoints that are equally near and equally wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) priority: u8,
    /// In the gateway's own zone.
    pub(crate) is_local: bool,
    /// Health was not believed: sick endpoints are among the members.
    pub(crate) is_panic: bool,
    /// Indexes in the endpoint list, rising.
    pub(crate) members: Vec<u16>,
    /// Its share of [`WHOLE`] ends here, and begins where that of the group before it ends.
    end: u64,
}

/// A division: groups from the most wanted to the least.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    pub(crate) groups: Vec<Group>,
    version: u64,
    changes: u64,
    until: Moment,
}

/// The endpoints of one priority, in one zone or in the others.
#[derive(Default)]
struct Part {
    all: Vec<u16>,
    well: Vec<u16>,
    all_weight: u64,
    well_weight: u64,
}

impl Part {
    fn add(&mut self, index: u16, weight: u32, is_well: bool) {
        self.all.push(index);
        self.all_weight += u64::from(weight);
        if is_well {
            self.well.push(index);
            self.well_weight += u64::from(weight);
        }
    }

    /// What of its ordinary load it can carry, 0 to 1.
    fn capacity(&self, terms: &Terms) -> f64 {
        let well = self.well_weight as f64 * f64::from(terms.overprovisioning_percent);
        (well / (self.all_weight.max(1) as f64 * 100.0)).min(1.0)
    }
}

#[derive(Default)]
struct Level {
    local: Part,
    others: Part,
    whole: Part,
}

/// Whether checks and traffic speak for an endpoint, and no computed weight of 0 against it.
pub(crate) fn is_well(endpoint: &Endpoint, now: Moment) -> bool {
    let state = &endpoint.state;
    state.health() != Health::Down && !state.is_excluded(now) && state.factor.steps() > 0
}

impl Levels {
    /// Divides the requests of a backend with these endpoints at `now`.
    pub(crate) fn divide(list: &EndpointList, terms: &Terms, now: Moment) -> Self {
        let mut levels: BTreeMap<u8, Level> = BTreeMap::new();
        let mut until = now.after_millis(FRESH_MS);
        // A backend that is nowhere else goes on in a drained zone.
        let keeps_drained = list.is_all_drained();
        for (index, endpoint) in (0u16..).zip(&list.endpoints) {
            if endpoint.weight == 0
                || endpoint.is_draining
                || (list.is_drained(index) && !keeps_drained)
            {
                continue;
            }
            let is_well = is_well(endpoint, now);
            if endpoint.state.is_excluded(now) {
                let end = endpoint.state.excluded_until.load(Ordering::Relaxed);
                until = until.min(Moment::default().after_millis(end));
            }
            let level = levels.entry(endpoint.priority).or_default();
            level.whole.add(index, endpoint.weight, is_well);
            let is_local = terms.zone.is_some() && endpoint.zone == terms.zone;
            let part = match is_local {
                true => &mut level.local,
                false => &mut level.others,
            };
            part.add(index, endpoint.weight, is_well);
        }
        let capacities: f64 = levels
            .values()
            .map(|level| level.whole.capacity(terms))
            .sum();
        let mut division = Self {
            until,
            ..Self::default()
        };
        // Together they cannot carry all: each carries more than it should, in proportion.
        let scale = match capacities {
            sum if sum > 0.0 && sum < 1.0 => 1.0 / sum,
            _ => 1.0,
        };
        let mut rest = 1.0;
        for (position, (priority, level)) in levels.into_iter().enumerate() {
            let share = match capacities > 0.0 {
                true => (level.whole.capacity(terms) * scale).min(rest),
                false => f64::from(u8::from(position == 0)),
            };
            rest -= share;
            let is_panic = capacities < 1.0 && is_unbelievable(&level.whole, terms);
            division.add(priority, level, share, is_panic, terms);
        }
        division.close();
        division
    }

    fn add(&mut self, priority: u8, level: Level, share: f64, is_panic: bool, terms: &Terms) {
        if is_panic && share > 0.0 {
            // Where health is not believed, the nearer zone is no better than the others.
            return self.push(priority, false, true, level.whole.all, share);
        }
        let local = match level.others.well.is_empty() {
            true => 1.0,
            false => level.local.capacity(terms),
        };
        self.push(priority, true, false, level.local.well, share * local);
        self.push(
            priority,
            false,
            false,
            level.others.well,
            share * (1.0 - local),
        );
    }

    fn push(&mut self, priority: u8, is_local: bool, is_panic: bool, members: Vec<u16>, own: f64) {
        if members.is_empty() {
            return;
        }
        let before = self.groups.last().map_or(0, |group| group.end);
        let end = before + (own * WHOLE as f64).round() as u64;
        self.groups.push(Group {
            priority,
            is_local,
            is_panic,
            members,
            end: end.min(WHOLE),
        });
    }

    /// What rounding left over goes to the last group that has a share.
    fn close(&mut self) {
        let total = self.groups.last().map_or(0, |group| group.end);
        for group in self.groups.iter_mut().rev() {
            if group.end < total {
                break;
            }
            group.end = WHOLE;
        }
    }

    /// Each group's share of the requests and the first ticket that leads to it.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (f64, u64, &Group)> {
        let mut before = 0;
        self.groups.iter().map(move |group| {
            let start = std::mem::replace(&mut before, group.end);
            (
                group.end.saturating_sub(start) as f64 / WHOLE as f64,
                start,
                group,
            )
        })
    }

    /// The endpoints that the request with this ticket may go to: those of its group, or of the
    /// nearest one that has any with room and not tried.
    pub(crate) fn usable(
        &self,
        plan: &BackendPlan,
        list: &EndpointList,
        tried: &[u16],
        ticket: u64,
    ) -> Result<Usable, NoEndpoint> {
        let own = self.groups.iter().position(|group| ticket < group.end);
        let own = own.unwrap_or_default();
        let order = || std::iter::once(own).chain((0..self.groups.len()).filter(|at| *at != own));
        let spill_at = plan.config.zones.spill_at;
        let rounds = [spill_at, None];
        let skip = usize::from(spill_at.is_none());
        for spill_at in rounds.into_iter().skip(skip) {
            for group in order().filter_map(|at| self.groups.get(at)) {
                let spill_at = spill_at.filter(|_| group.is_local);
                let found = group.with_room(plan, list, tried, spill_at);
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        match members.any(|index| !tried.contains(index)) {
            true => Err(NoEndpoint::NoRoom),
            false => Err(NoEndpoint::Nothing),
        }
    }
}

/// Whether so few are well that the checks themselves are the likelier to be sick. A threshold of
/// one percent means none at all, however many there are.
fn is_unbelievable(part: &Part, terms: &Terms) -> bool {
    match terms.panic_percent {
        0 => false,
        1 => part.well.is_empty(),
        percent => part.well_weight * 100 < part.all_weight * u64::from(percent),
    }
}

impl Group {
    fn with_room(
        &self,
        plan: &BackendPlan,
        list: &EndpointList,
        tried: &[u16],
        spill_at: Option<u32>,
    ) -> Usable {
        let limit = plan.endpoint_limit;
        let has_room = |index: &&u16| {
            let endpoint = list.endpoints.get(usize::from(**index));
            endpoint.is_some_and(|endpoint| {
                let in_flight = endpoint.state.in_flight.load(Ordering::Relaxed);
                in_flight < limit
                    && spill_at.is_none_or(|at| in_flight < at.saturating_mul(endpoint.weight))
            })
        };
        let members = self.members.iter().filter(|index| !tried.contains(index));
        members.filter(has_room).copied().collect()
    }
}

impl BackendPlan {
    /// The division in force; `None` for a backend that is one group.
    #[inline]
    pub(crate) fn levels(
        &self,
        list: &EndpointList,
        now: Moment,
    ) -> Option<arc_swap::Guard<std::sync::Arc<Levels>>> {
        let is_divided =
            list.is_divided || self.is_divided || (self.terms.zone.is_some() && list.has_zones);
        is_divided.then(|| self.fresh_levels(list, now))
    }

    fn fresh_levels(
        &self,
        list: &EndpointList,
        now: Moment,
    ) -> arc_swap::Guard<std::sync::Arc<Levels>> {
        let known = self.levels.load();
        let version = list.version.load(Ordering::Acquire);
        let changes = self.shared.changes.load(Ordering::Acquire);
        if known.version == version && known.changes == changes && now < known.until {
            return known;
        }
        let mut fresh = Levels::divide(list, &self.terms, now);
        (fresh.version, fresh.changes) = (version, changes);
        self.levels.store(std::sync::Arc::new(fresh));
        self.levels.load()
    }
}

#[cfg(test)]
mod tests;
