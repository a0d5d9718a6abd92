// SPDX-License-Identifier: Apache-2.0
//! `tidegate-load attack NAME=VALUE ...`: plays prepared bytes on many connections, and begins anew when cut.
//!
//! A process of its own, so that it can be another's prey of the scheduler than the honest client. What it does is in
//! `plan.rs`. It prints its counts as one JSON object for each line on standard input, and ends with that.

mod connection;
mod datagrams;
mod frames;
mod plan;
mod report;
mod tcp;

use std::io::Write as _;

use plan::Plan;
pub use report::Report;

/// Attacks until standard input ends.
///
/// # Errors
/// A word is not known, a file cannot be read, or there is no poll.
pub fn run(words: impl Iterator<Item = String>) -> std::io::Result<()> {
    let plan = Plan::of(words).map_err(std::io::Error::other)?;
    if plan.datagrams.is_empty() {
        tcp::run(&plan)
    } else {
        datagrams::run(&plan)
    }
}

/// Answers what came on standard input; false at its end.
fn told(report: &Report) -> std::io::Result<bool> {
    let mut buffer = [0; 64];
    let count = rustix::io::read(std::io::stdin(), &mut buffer)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.json())?;
    out.flush()?;
    Ok(count > 0)
}
