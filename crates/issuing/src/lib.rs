// SPDX-License-Identifier: Apache-2.0
//! How certificates are got: from an authority that speaks ACME (RFC 8555), or from one for development that
//! is made here. Nothing of it is in the path of traffic: control and the command line call it.
//!
//! [`orders`] is the conversation with an authority, over a [`Transport`] that the caller gives;
//! [`requests`] makes keys and what is signed with them; [`revocation`] is what authorities say of what they have
//! signed; [`development`] is the authority for localhost.
#![forbid(unsafe_code)]

pub mod development;
mod failure;
pub mod orders;
pub mod requests;
pub mod revocation;
mod transport;

pub use failure::{Failure, Part};
pub use transport::{Answer, Question, Transport};
