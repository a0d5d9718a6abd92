// SPDX-License-Identifier: Apache-2.0
use super::table::{ENTRY_OVERHEAD, Table};
use super::{Key, huffman, integer, static_table};
use tidegate_request::{FieldId, FieldSet};

/// Credentials: never put into a table, here or by who passes them on. RFC 7541 §7.1.3.
const SECRET: FieldSet = FieldSet::of(&[
    FieldId::Authorization,
    FieldId::ProxyAuthorization,
    FieldId::Cookie,
    FieldId::SetCookie,
]);

/// Names that in practice carry credentials, and tokens against forgery.
const SECRET_NAMES: [&[u8]; 6] = [
    b"x-api-key",
    b"api-key",
    b"x-auth-token",
    b"x-amz-security-token",
    b"x-csrf-token",
    b"x-xsrf-token",
];

/// Fields whose value is another each time: in the table they would only push out what comes again.
const VOLATILE: FieldSet = FieldSet::of(&[
    FieldId::ContentLength,
    FieldId::ContentRange,
    FieldId::Date,
    FieldId::Etag,
    FieldId::Expires,
    FieldId::IfMatch,
    FieldId::IfModifiedSince,
    FieldId::IfNoneMatch,
    FieldId::IfRange,
    FieldId::LastModified,
    FieldId::Location,
    FieldId::Range,
    FieldId::Referer,
    FieldId::RetryAfter,
    FieldId::Traceparent,
    FieldId::Tracestate,
    FieldId::XForwardedFor,
    FieldId::XRealIp,
    FieldId::XRequestId,
]);

/// Whether a field carries a credential, by its name in lower case.
pub fn is_credential(id: FieldId, name: &[u8]) -> bool {
    SECRET.has(id) || (id == FieldId::Other && SECRET_NAMES.contains(&name))
}

/// Writes header blocks.
///
/// A field that comes again goes into the table, Huffman-coded: both are paid once. What is another
/// each time goes as it is: coding it would cost us and the peer more time than the quarter of its
/// bytes is worth.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// The most memory that we spend, whatever the peer allows.
    limit: usize,
    /// The sizes to tell the peer with the next block: the smallest since the last, and the last.
    update: Option<(usize, usize)>,
    /// A name in lower case.
    name: Vec<u8>,
}

impl Encoder {
    /// Uses a table of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let mut made = Self {
            table: Table::new(super::decoder::DEFAULT_TABLE),
            limit,
            update: None,
            name: Vec::new(),
        };
        made.set_most(super::decoder::DEFAULT_TABLE);
        made
    }

    /// The peer takes a table of up to `most` bytes.
    pub(crate) fn set_most(&mut self, most: usize) {
        let most = most.min(self.limit);
        if most == self.table.most() {
            return;
        }
        self.table.set_most(most);
        let least = self.update.map_or(most, |(least, _)| least.min(most));
        self.update = Some((least, most));
    }

    /// Bytes of memory held.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory() + self.name.capacity()
    }

    /// Begins a header block.
    #[inline]
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((least, most)) = self.update.take() {
            if least < most {
                integer::write(out, least, 5, 0x20);
            }
            integer::write(out, most, 5, 0x20);
        }
    }

    /// Appends `:status`, three digits.
    #[inline]
    pub(crate) fn status(&mut self, out: &mut Vec<u8>, status: u16) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [status / 100 % 10, status / 10 % 10, status % 10];
                let digits = digits.map(|digit| b'0' + digit as u8);
                return self.repeated(out, Key::Status, 8, b":status", &digits);
            }
        };
        out.push(0x80 | index);
    }

    /// Appends `:method`.
    pub(crate) fn method(&mut self, out: &mut Vec<u8>, method: &[u8]) {
        match method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            _ => self.repeated(out, Key::Method, 2, b":method", method),
        }
    }

    /// Appends `:scheme`.
    pub(crate) fn scheme(&mut self, out: &mut Vec<u8>, scheme: &[u8]) {
        match scheme {
            b"http" => out.push(0x86),
            b"https" => out.push(0x87),
            _ => self.repeated(out, Key::Scheme, 6, b":scheme", scheme),
        }
    }

    /// Appends `:authority`.
    pub(crate) fn authority(&mut self, out: &mut Vec<u8>, authority: &[u8]) {
        self.repeated(out, Key::Authority, 1, b":authority", authority);
    }

    /// Appends `:protocol`, RFC 8441 §4.
    pub(crate) fn protocol(&mut self, out: &mut Vec<u8>, protocol: &[u8]) {
        self.repeated(out, Key::Protocol, 0, b":protocol", protocol);
    }

    /// Appends `:path`. Not kept: it may hold what is secret, and guesses could be tried against it.
    pub(crate) fn path(&mut self, out: &mut Vec<u8>, path: &[u8], query: Option<&[u8]>) {
        let Some(query) = query else {
            match path {
                b"/" => out.push(0x84),
                _ => literal(out, 0, 4, b"", path),
            }
            return;
        };
        integer::write(out, 4, 4, 0);
        integer::write(out, path.len() + 1 + query.len(), 7, 0);
        out.extend_from_slice(path);
        out.push(b'?');
        out.extend_from_slice(query);
    }

    /// Appends a field. `name` may have letters in upper case; it is written in lower case.
    #[inline]
    pub(crate) fn field(
        &mut self,
        out: &mut Vec<u8>,
        id: FieldId,
        name: &[u8],
        value: &[u8],
        is_secret: bool,
    ) {
        if id != FieldId::Other {
            let index = static_table::name_index(id, name);
            let name = id.name().as_bytes();
            if is_secret || SECRET.has(id) {
                literal(out, 0x10, index, name, value);
            } else if VOLATILE.has(id) {
                literal(out, 0, index, name, value);
            } else if id == FieldId::AcceptEncoding && value == b"gzip, deflate" {
                out.push(0x80 | 16);
            } else {
                self.repeated(out, Key::Field(id), index, name, value);
            }
            return;
        }
        let mut lower = std::mem::take(&mut self.name);
        lower.clear();
        lower.extend_from_slice(name);
        lower.make_ascii_lowercase();
        let index = static_table::name_index(id, &lower);
        if is_secret || SECRET_NAMES.contains(&lower.as_slice()) {
            literal(out, 0x10, index, &lower, value);
        } else if index == 21 {
            // `age` changes by the second.
            literal(out, 0, index, &lower, value);
        } else {
            self.repeated(out, Key::Field(id), index, &lower, value);
        }
        self.name = lower;
    }

    /// A field that is worth an entry: by its index, or put into the table if it is small enough
    /// not to push out most of what is there.
    #[inline]
    fn repeated(&mut self, out: &mut Vec<u8>, key: Key, index: usize, name: &[u8], value: &[u8]) {
        let hash = hash(name, value);
        if let Some(found) = self.table.find(hash, name, value) {
            integer::write(out, found + 62, 7, 0x80);
            return;
        }
        if (name.len() + value.len() + ENTRY_OVERHEAD) * 4 > self.table.most() {
            literal(out, 0, index, name, value);
            return;
        }
        integer::write(out, index, 6, 0x40);
        if index == 0 {
            coded(out, name);
        }
        coded(out, value);
        self.table.insert(key, name, value, hash);
    }
}

/// A literal that goes into no table: `pattern` is 0, or 0x10 for never.
#[inline]
fn literal(out: &mut Vec<u8>, pattern: u8, index: usize, name: &[u8], value: &[u8]) {
    integer::write(out, index, 4, pattern);
    if index == 0 {
        plain(out, name);
    }
    plain(out, value);
}

#[inline]
fn plain(out: &mut Vec<u8>, text: &[u8]) {
    integer::write(out, text.len(), 7, 0);
    out.extend_from_slice(text);
}

fn coded(out: &mut Vec<u8>, text: &[u8]) {
    let length = huffman::encoded_length(text);
    if length >= text.len() {
        return plain(out, text);
    }
    integer::write(out, length, 7, 0x80);
    huffman::encode(text, out);
}

/// Tells entries apart cheaply; who forces collisions wins comparisons with a few dozen entries.
#[inline]
fn hash(name: &[u8], value: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = (name.len() as u64) << 32 | value.len() as u64;
    for text in [name, value] {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            hash = (hash ^ u64::from_le_bytes(*word))
                .wrapping_mul(FACTOR)
                .rotate_left(29);
        }
        for &byte in rest {
            hash = (hash ^ u64::from(byte))
                .wrapping_mul(FACTOR)
                .rotate_left(29);
        }
    }
    (hash.wrapping_mul(FACTOR) >> 32) as u32
}
