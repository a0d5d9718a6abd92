// SPDX-License-Identifier: Apache-2.0
//! Layer 4: connections that are passed on as they are.
//!
//! [`find`](L4Table::find) is the decision, which `explain` asks for as well. [`sort`] tells what a
//! connection speaks where that is not settled. [`start`] takes one that was let in; [`open`] gets it to an endpoint,
//! by the same steps as a request; [`flow`] is what is left of it while bytes go both ways; [`account`] tells of it at
//! its end.

mod account;
mod datagrams;
mod explain;
mod flow;
mod hello;
mod open;
mod plan;
mod serve;
mod sort;
mod tell;

pub(crate) use datagrams::{Connections, Ports};
pub(crate) use explain::explain;
pub(crate) use plan::{L4RoutePlan, L4Table};
pub(crate) use serve::{Says, start};
pub(crate) use sort::sort;
pub(crate) use tell::{gauges, route_rows};
