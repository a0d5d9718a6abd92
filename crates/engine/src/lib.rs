// SPDX-License-Identifier: Apache-2.0
//! The request path, assembled: the only crate that knows all the others.
//!
//! [`run_node`] is the process that carries traffic; [`decide_json`] and [`check_json`] judge a
//! request or a snapshot without a socket. Start reading at `decide`, then `downstream` and
//! `upstream` for the way of a request, `service` for everything around it.
#![forbid(unsafe_code)]

mod adaptive;
mod affinity;
mod asked;
mod costs;
mod decide;
mod downstream;
mod egress;
mod exclusion;
mod explain;
mod files;
mod functions;
mod grpc;
mod http2;
mod judge;
mod l4;
mod levels;
mod memory;
mod node;
mod pages;
mod probe;
mod question;
mod secure;
mod service;
mod snapshot;
mod tell;
#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
mod thread;
mod upstream;
mod web;

pub use explain::{check_json, decide_json};
pub use node::{NodeConfig, run_node};
pub use probe::{Probed, ProbedRequest, probe};
pub use tidegate_policies::condition_problem;
pub use tidegate_tls::validity as certificate_validity;
