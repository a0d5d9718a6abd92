// SPDX-License-Identifier: Apache-2.0
//! Which route takes a request: by host, path, method, header fields, query, cookies and
//! the addresses of the connection.
//!
//! It decides and does nothing else: no I/O, no rewriting, no policies. Start with [`RouteTable`];
//! `paths.rs` holds the order in which patterns of a path are tried, `route.rs` what comes after.
//!
//! Precedence: host (exact, then wildcards from the longest, then routes without hosts; falling
//! through when nothing under a host takes the request), exact path, template with more literal
//! segments, longest prefix, regular expression, then routes that name a method, more header
//! fields, more query parameters, more cookies, clients, local addresses, and the order of the file.
#![forbid(unsafe_code)]

mod bucket;
mod change;
mod encoded;
mod explain;
mod field;
mod host;
mod hosts;
mod paths;
mod pattern;
mod regular;
mod route;
mod slots;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod visit;

pub use encoded::{decode as decoded_query, equals as equals_query};
pub use explain::Considered;
pub use route::{Asked, CompiledRoute, Ends};
pub use table::{Found, RouteTable};
pub use template::Parameters;

/// Keys come from the configuration, so no peer can make them collide by filling a map.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
