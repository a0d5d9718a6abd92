// SPDX-License-Identifier: Apache-2.0
//! The traits a room implements: what policies, balancers and checks are to the engine.
//!
//! The engine knows these traits and no room; a room knows these traits and no engine. Start with
//! [`Balancer`] and its smallest room, `round_robin`, or [`Filter`] and `request_headers`.
#![forbid(unsafe_code)]

mod balancer;
mod check;
mod document;
mod endpoint;
mod filter;
mod identity;

pub use balancer::{Balancer, BalancerState, Candidates, KeyOf};
pub use check::{Check, Expected, Heard, Probe, Verdict};
pub use document::{Document, Fetches, Newer, Reader, Reading, Source};
pub use endpoint::{Average, Endpoint, EndpointState, Factor, Health};
pub use filter::{Answer, Before, Client, Exchange, Filter, Flow, Parameters, Phases};
pub use identity::Identity;
