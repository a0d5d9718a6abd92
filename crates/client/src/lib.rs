// SPDX-License-Identifier: Apache-2.0
//! Asks one thing over one connection of HTTP/2 or HTTP/3 and waits for the answer, for commands that
//! look at a gateway from outside. Whoever answers must prove who he is; there is no way around that.
//!
//! Not for traffic: it blocks, keeps no connection, follows no redirect and sends no content. HTTP/1.1
//! needs none of this: Python speaks it. Start with [`ask`].
#![forbid(unsafe_code)]

mod answer;
mod deadline;
mod http2;
mod http3;

pub use answer::{Answer, Question, Version};

/// Sends a GET and returns the answer, interim responses left out.
///
/// # Errors
/// What happened instead, for people: nobody is there, the certificate is refused, the protocol is
/// another or is broken, the answer is larger than 16 MiB, or `patience` was over.
pub fn ask(question: &Question<'_>) -> Result<Answer, String> {
    match question.version {
        Version::Http2 => http2::ask(question),
        Version::Http3 => http3::ask(question),
    }
}
