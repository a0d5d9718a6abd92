// SPDX-License-Identifier: Apache-2.0
//! The compiled configuration: resources in, plans out.
//!
//! [`Snapshot::apply`] rebuilds only what a delta touched. Whatever must survive a change (counters,
//! health, positions) lives in the [`Registry`], keyed by name.

mod admission;
mod apply;
mod approach;
mod backend;
mod challenges;
mod data;
mod filters;
mod key;
mod l4;
mod line;
mod plans;
mod registry;
mod retries;
mod secrets;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use admission::Pace;
pub(crate) use apply::{Problem, Snapshot};
pub(crate) use approach::ApproachPlan;
pub(crate) use backend::{BackendPlan, BackendShared, EndpointList};
pub(crate) use challenges::ChallengeSet;
pub(crate) use filters::{FilterPlan, Filters, Placed, PolicyCounts};
pub(crate) use plans::{Counted, ListenerPlan, RoutePlan, Settings, TargetPlan};
pub(crate) use registry::Registry;
pub(crate) use secrets::Secrets;
pub(crate) use sources::SourceState;
pub(crate) use store::{Store, Stored, write as write_private};
