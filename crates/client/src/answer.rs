// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_http2::RequestHead;
use tidegate_request::{FieldRef, Fields};
use tidegate_tls::Authorities;

/// Bytes of content that an answer may have.
const MOST: usize = 16 << 20;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Over TLS and TCP.
    Http2,
    /// Over QUIC.
    Http3,
}

/// What is asked of whom.
#[derive(Debug)]
pub struct Question<'a> {
    /// What is to be spoken; there is no falling back.
    pub version: Version,
    /// Where the connection goes to.
    pub address: SocketAddr,
    /// Whose certificate it must have, which may be an address.
    pub server_name: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// More fields.
    pub fields: &'a Fields,
    /// Whose word is taken for who it is.
    pub authorities: &'a Authorities,
    /// For all of it together.
    pub patience: Duration,
}

impl<'a> Question<'a> {
    pub(crate) fn head(&self) -> RequestHead<'a> {
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (self.path, None),
        };
        RequestHead {
            method: b"GET",
            scheme: "https",
            authority: self.authority.as_bytes(),
            path: path.as_bytes(),
            query,
            protocol: None,
        }
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    /// What was agreed on inside of TLS, by its name of ALPN (RFC 7301): `h2`, `h3`.
    pub protocol: String,
    /// 200 to 999.
    pub status: u16,
    /// Names in lower case, in the order of the wire.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// Takes a head; one that is interim is forgotten with the next.
    pub(crate) fn begin<'f>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = FieldRef<'f>>,
    ) {
        self.status = status;
        let fields = fields.into_iter();
        self.fields = fields
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
            .collect();
    }

    pub(crate) fn take(&mut self, content: &[u8]) -> Result<(), String> {
        if self.body.len() + content.len() > MOST {
            return Err("the answer has more than 16 MiB".to_owned());
        }
        self.body.extend_from_slice(content);
        Ok(())
    }
}
