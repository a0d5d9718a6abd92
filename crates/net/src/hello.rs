// SPDX-License-Identifier: Apache-2.0
//! What a TLS client asks for in its first message, for those who pass its connection on as it is.
//!
//! Only what routes go by is taken out; everything else is looked over as far as lengths go. Nothing
//! here answers, and what was read is still to be passed on.

/// Bytes of the first message, at most: those of clients with post-quantum keys have some 2 KiB.
pub(crate) const MESSAGE: usize = 16 << 10;
/// Bytes it may take with the heads of records it is cut into.
pub const LONGEST_HELLO: usize = 32 << 10;
/// Bytes of one record (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;
/// Bytes of a host name (RFC 1035 §2.3.4).
const NAME: usize = 253;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The host name, in lower case; `None` without one (RFC 6066 §3).
    pub name: Option<String>,
    /// The protocols it would speak inside of TLS, the dearest first (RFC 7301 §3.1).
    pub protocols: Vec<Vec<u8>>,
}

/// Why there is no first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHello {
    /// It is not TLS.
    NotTls,
    /// It breaks the protocol, or is longer than any.
    Malformed,
}

/// Reads a ClientHello (RFC 8446 §4.1.2) in whatever pieces it comes: of packets, and of records.
/// Each byte is looked at once until the message is whole.
#[derive(Debug, Default)]
pub struct HelloReader {
    head: [u8; 5],
    head_length: usize,
    /// Bytes of the record that are still to come.
    left: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// Takes the next bytes; `None` while more are to come.
    ///
    /// # Errors
    /// When it is no ClientHello, or one beyond the limits.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<Option<Hello>, NoHello> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                if let Some(slot) = self.head.get_mut(self.head_length) {
                    *slot = *first;
                }
                self.head_length += 1;
                bytes = rest;
                self.begin_record()?;
                continue;
            }
            let (taken, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.message.extend_from_slice(taken);
            self.left -= taken.len();
            bytes = rest;
            if let Some(hello) = read_message(&self.message)? {
                return Ok(Some(hello));
            }
        }
        Ok(None)
    }

    /// Judges what there is of a record's head: type, version, length.
    fn begin_record(&mut self) -> Result<(), NoHello> {
        let [kind, major, _, high, low] = self.head;
        if kind != 22 || (self.head_length > 1 && major != 3) {
            return Err(NoHello::NotTls);
        }
        if self.head_length == self.head.len() {
            self.left = usize::from(u16::from_be_bytes([high, low]));
            self.head_length = 0;
            if self.left == 0 || self.left > RECORD {
                return Err(NoHello::Malformed);
            }
        }
        Ok(())
    }
}

/// Reads a message of the handshake (RFC 8446 §4) that begins with `message`; `None` while it is not whole.
///
/// # Errors
/// When it is no ClientHello, or one beyond the limits.
pub(crate) fn read_message(message: &[u8]) -> Result<Option<Hello>, NoHello> {
    let mut reader = Reader(message);
    let Some(kind) = reader.byte() else {
        return Ok(None);
    };
    if kind != 1 {
        return Err(NoHello::NotTls);
    }
    let Some(head) = reader.take(3) else {
        return Ok(None);
    };
    let length = head
        .iter()
        .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    if length > MESSAGE {
        return Err(NoHello::Malformed);
    }
    match reader.take(length) {
        Some(body) => parse(body).ok_or(NoHello::Malformed).map(Some),
        None => Ok(None),
    }
}

/// What is left of a message.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A piece behind its length of one byte.
    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// A piece behind its length of two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
    }
}

fn parse(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?; // version and random
    reader.short().filter(|session| session.len() <= 32)?;
    reader.long().filter(|ciphers| !ciphers.is_empty())?;
    reader.short().filter(|methods| !methods.is_empty())?;
    let mut hello = Hello::default();
    if reader.0.is_empty() {
        return Some(hello); // TLS 1.2 without extensions
    }
    let mut extensions = Reader(reader.long()?);
    if !reader.0.is_empty() {
        return None;
    }
    let mut has_protocols = false;
    while !extensions.0.is_empty() {
        let (kind, value) = (extensions.number()?, extensions.long()?);
        match kind {
            // RFC 8446 §4.2: no extension is there twice.
            0 if hello.name.is_some() => return None,
            0 => hello.name = Some(name(value)?),
            16 if std::mem::replace(&mut has_protocols, true) => return None,
            16 => hello.protocols = protocols(value)?,
            _ => {}
        }
    }
    Some(hello)
}

/// The one name of a list: no more can be there, since there is one kind of name (RFC 6066 §3).
fn name(value: &[u8]) -> Option<String> {
    let mut value = Reader(value);
    let mut list = Reader(value.long()?);
    let kind = list.byte()?;
    let name = list.long()?;
    let is_whole = value.0.is_empty() && list.0.is_empty() && kind == 0;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    if !is_whole || name.is_empty() || name.len() > NAME || !name.iter().all(is_name) {
        return None;
    }
    Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase())
}

fn protocols(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut value = Reader(value);
    let mut list = Reader(value.long().filter(|list| !list.is_empty())?);
    let mut found = Vec::new();
    while !list.0.is_empty() {
        found.push(list.short().filter(|name| !name.is_empty())?.to_vec());
    }
    value.0.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello with extensions, cut into records of `size` bytes.
    fn hello(extensions: &[(u16, &[u8])], size: usize) -> Vec<u8> {
        let long = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let listed = extensions.iter();
        let listed: Vec<u8> = listed
            .flat_map(|(kind, value)| [kind.to_be_bytes().to_vec(), long(value)].concat())
            .collect();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &long(&[0x13, 0x01]),
            &[1, 0],
            &long(&listed),
        ]
        .concat();
        let length = (body.len() as u32).to_be_bytes();
        let message = [&[1], &length[1..], &body].concat();
        let records = message.chunks(size);
        let whole = records.map(|piece| [&[22, 3, 1][..], &long(piece)].concat());
        whole.collect::<Vec<_>>().concat()
    }

    const NAMED: &[u8] = b"\0\x0e\0\0\x0bShop.Test-1";
    const ALPN: &[u8] = b"\0\x0c\x02h2\x08http/1.1";

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        let wanted = Hello {
            name: Some("shop.test-1".into()),
            protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        for size in [1, 2, 5, 64, 16384] {
            let bytes = hello(&[(10, b"xx"), (0, NAMED), (16, ALPN)], size);
            for piece in [1, 3, 7, 1000] {
                let mut reader = HelloReader::default();
                let mut found = None;
                for part in bytes.chunks(piece) {
                    assert_eq!(found, None);
                    found = reader.take(part).unwrap();
                }
                assert_eq!(found.as_ref(), Some(&wanted), "{size} {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_hello_is_refused_as_soon_as_it_shows() {
        let taken = |bytes: &[u8]| HelloReader::default().take(bytes);
        assert_eq!(taken(b"G"), Err(NoHello::NotTls));
        assert_eq!(taken(&[22, 2]), Err(NoHello::NotTls));
        assert_eq!(taken(&[22, 3, 1, 0, 0]), Err(NoHello::Malformed));
        assert_eq!(taken(&[22, 3, 1, 0x40, 1]), Err(NoHello::Malformed));
        assert_eq!(taken(&[22, 3, 1, 0, 1, 2]), Err(NoHello::NotTls));
        let too_long = [22, 3, 1, 0, 4, 1, 1, 0, 0];
        assert_eq!(taken(&too_long), Err(NoHello::Malformed));
        assert_eq!(taken(&hello(&[], 99)), Ok(Some(Hello::default())));
        for twice in [(0u16, NAMED), (16, ALPN)] {
            let bytes = hello(&[twice, twice], 99);
            assert_eq!(taken(&bytes), Err(NoHello::Malformed));
        }
        for value in [&b"\0\x04\0\0\x01a!"[..], b"\0\x05\0\0\x02a/", b"", b"\0\0"] {
            let bytes = hello(&[(0, value)], 99);
            assert_eq!(taken(&bytes), Err(NoHello::Malformed), "{value:?}");
        }
    }
}
