// SPDX-License-Identifier: Apache-2.0
//! What a forward proxy decides with: what kind of address one is ([`Class`]), which hosts, addresses
//! and ports may be asked ([`Judge`]), and where a name is ([`Resolver`]).
#![forbid(unsafe_code)]

mod cache;
mod class;
mod message;
mod resolver;
mod rule;
#[cfg(test)]
mod tests;

pub use class::{Class, embedded};
pub use resolver::{Resolver, ResolverSettings, Unresolved, servers_of_system};
pub use rule::{Aim, Judge, Refusal, Rule, Verdict};
