// SPDX-License-Identifier: Apache-2.0
use crate::fields::{FieldId, FieldSet, Fields, has_untrusted_prefix};
use crate::{Version, syntax};

/// Options in `Connection` beyond which a message is refused: each is compared with each field.
const OPTION_LIMIT: usize = 32;

/// What `Connection` says. RFC 9110 §7.6.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    close: bool,
    keep_alive: bool,
    pub(crate) upgrade: bool,
    nominates: bool,
}

impl Connection {
    /// Reads all `Connection` fields; `None` when they list too many options.
    #[inline]
    pub(crate) fn read(fields: &Fields) -> Option<Self> {
        let mut connection = Self::default();
        if !fields.may_have(FieldSet::of(&[FieldId::Connection])) {
            return Some(connection);
        }
        let mut count = 0;
        for option in fields.get_all(FieldId::Connection).flat_map(syntax::list) {
            count += 1;
            if option.eq_ignore_ascii_case(b"keep-alive") {
                connection.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                connection.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                connection.upgrade = true;
            } else if FieldId::recognise(option) == FieldId::Other {
                connection.nominates = true;
            }
        }
        (count <= OPTION_LIMIT).then_some(connection)
    }

    /// Whether the peer wants to go on after this message. RFC 9112 §9.3.
    pub(crate) fn is_kept(self, version: Version) -> bool {
        !self.close && (version >= Version::Http11 || self.keep_alive)
    }

    /// Removes the fields that `Connection` nominates, but no well-known one: those mean something
    /// to all recipients or are dropped in any case. A client must not take `Authorization` or
    /// `X-Forwarded-For` out of the message between a check here and the origin server (RFC 9110
    /// §7.6.1 forbids it to ask).
    pub(crate) fn remove_nominated(self, fields: &mut Fields) {
        if !self.nominates {
            return;
        }
        let options: Vec<Vec<u8>> = fields
            .get_all(FieldId::Connection)
            .flat_map(syntax::list)
            .map(<[u8]>::to_vec)
            .collect();
        fields.retain(|entry, arena| {
            let name = entry.name(arena);
            let is_free = entry.id == FieldId::Other && !has_untrusted_prefix(name);
            !(is_free
                && options
                    .iter()
                    .any(|option| option.eq_ignore_ascii_case(name)))
        });
    }
}
