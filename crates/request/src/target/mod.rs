// SPDX-License-Identifier: Apache-2.0
//! Request targets: their forms, the canonical path and the canonical authority.

mod authority;
mod form;
mod path;
#[cfg(test)]
mod tests;

pub(crate) use authority::{Authority, canonical_authority, canonical_host};
pub(crate) use form::{Form, of_proxy, split};
pub(crate) use path::{canonical_path, check_query};
