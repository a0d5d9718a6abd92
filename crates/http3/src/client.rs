// SPDX-License-Identifier: Apache-2.0
//! What clients write and read that servers do not.
use crate::{Connection, RequestHead, qpack};
use tidegate_request::{FieldRef, Storage};

impl Connection {
    /// The HEADERS frame of a request; `None` when the server takes no head of this size (RFC 9114
    /// §4.2.2), as far as it has said so by now. Of `fields`, those that concern a connection and `host`
    /// are left out, but for `te: trailers`; names go in lower case.
    ///
    /// An extended CONNECT is for servers that offer it, which is not looked at here.
    pub fn ask<'f>(
        &mut self,
        head: RequestHead<'_>,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
    ) -> Option<Vec<u8>> {
        let query = head.query.map_or(0, |query| query.len() + 1);
        let protocol = head.protocol.map_or(0, <[u8]>::len);
        let more = head.path.len() + query + head.authority.len() + head.method.len() + protocol;
        let is_tunnel = head.method == b"CONNECT" && head.protocol.is_none();
        let begin = |out: &mut Vec<u8>| {
            qpack::pseudo(out, b":method", head.method);
            qpack::pseudo(out, b":authority", head.authority);
            if !is_tunnel {
                qpack::pseudo(out, b":scheme", head.scheme.as_bytes());
                match head.query {
                    None => qpack::pseudo(out, b":path", head.path),
                    Some(query) => {
                        qpack::pseudo(out, b":path", &[head.path, b"?", query].concat());
                    }
                }
            }
            if let Some(protocol) = head.protocol {
                qpack::pseudo(out, b":protocol", protocol);
            }
        };
        // 42 bytes at most for each name, with what an entry counts besides its text.
        self.frame(more + 5 * 42, begin, fields)
    }

    /// Status and fields of the response that [`crate::Part::Head`] told of: below 200 it is an interim
    /// one. The caller may take the storage.
    pub fn answer(&mut self) -> (u16, &mut Storage) {
        (self.builder.status(), &mut self.builder.storage)
    }
}
