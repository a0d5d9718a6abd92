// SPDX-License-Identifier: Apache-2.0
use tidegate_request::FieldId;

/// What a name is: a pseudo field of RFC 9113 §8.3 or RFC 8441 §4, or a field. Kept with each entry
/// of the tables, so an indexed field is never looked up by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol`
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
    /// Another name that begins with a colon.
    UnknownPseudo,
    /// A name that does not.
    Field(FieldId),
}

impl Key {
    /// The key of `name`. Letters in upper case are not judged here.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        match name {
            [b':', ..] => match name {
                b":authority" => Self::Authority,
                b":method" => Self::Method,
                b":path" => Self::Path,
                b":protocol" => Self::Protocol,
                b":scheme" => Self::Scheme,
                b":status" => Self::Status,
                _ => Self::UnknownPseudo,
            },
            _ => Self::Field(FieldId::recognise(name)),
        }
    }
}
