// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 on a client's connection.
//!
//! One task drives the connection ([`Driver`]): it reads, has the protocol say what came, and writes
//! what the protocol and the streams have gathered. Each request is an exchange like one of HTTP/1.1,
//! in a task of its own, whose [`super::Downstream`] has a [`Stream`] where the other has its socket. What
//! this has in common with connections to endpoints is in `crate::http2`.

mod driver;
mod request;
mod stream;

pub(super) use driver::Driver;
pub(crate) use stream::Stream;

/// What a client begins with (RFC 9113 §3.4), as far as HTTP/1.1 would take it for a head.
pub(super) const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
