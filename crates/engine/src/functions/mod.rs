// SPDX-License-Identifier: Apache-2.0
//! The node's end of function workers: policies and functions that users write in Python.
//!
//! Each thread has one connection to each worker it needs ([`link`]), on which any number of calls
//! is under way ([`call`]). A policy is a filter that waits ([`policy`]); a function is a backend
//! whose endpoints are its workers ([`forward`]).

mod call;
mod checks;
mod deliver;
mod forward;
mod here;
mod link;
mod message;
mod plan;
mod policy;
mod seats;
mod stream;
mod told;

pub(crate) use checks::Checkers;
pub(crate) use forward::forward;
pub(crate) use here::{dial, enter, here};
pub(crate) use plan::FunctionPlan;
pub(crate) use policy::build;

#[cfg(test)]
mod tests;
