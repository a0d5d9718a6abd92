// SPDX-License-Identifier: Apache-2.0
//! Heads of messages: start line and header section.

mod limits;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use limits::HeadLimits;
pub use parse::{parse_request, parse_response};
pub use scan::HeadScanner;
