// SPDX-License-Identifier: Apache-2.0
//! A forward proxy: who may use it, where it goes, and what is told of it. `downstream/pass_out.rs` carries
//! its requests out.

mod count;
mod explain;
mod lane;
mod plan;
mod way;
mod who;

pub(crate) use count::{Busy, UserCounts, gauges};
pub(crate) use explain::explain;
pub(crate) use lane::{Lanes, Paced};
pub(crate) use plan::{EgressPlan, ParentPlan, UserPlan};
pub(crate) use way::{NoWay, Way};
pub(crate) use who::Who;
