// SPDX-License-Identifier: Apache-2.0
use crate::refusal::refusal;
use tidegate_contract::Flow;
use tidegate_core::Networks;

/// The set of `addresses` and of a `file` with one on each line, as control has checked them.
///
/// # Errors
/// What is wrong with one of them.
pub(crate) fn read(addresses: &[String], file: Option<&str>) -> Result<Networks, String> {
    let inline = addresses.iter().map(String::as_str);
    Networks::parse(inline.chain(file.unwrap_or_default().lines()))
}

/// The answer to a client that is not to come in: it is not told by which address it is known.
pub(crate) fn refused<'a>(detail: &'static str) -> Flow<'a> {
    Flow::Respond(Box::new(refusal(403, detail)))
}
