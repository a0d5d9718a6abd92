// SPDX-License-Identifier: Apache-2.0
use tidegate_request::syntax;

/// Where in a chunk extension the decoder is: `*( ";" name [ "=" ( token / quoted-string ) ] )`,
/// RFC 9112 §7.1.1, without the white space that it asks recipients to bear and nobody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    /// After `;`.
    Start,
    Name,
    /// After `=`.
    Equal,
    Token,
    Quoted,
    /// After `\` between quotes.
    Escape,
    /// After the closing quote.
    QuotedEnd,
}

impl Extension {
    /// Where it is after `byte`, which is not the CR at the end; `None` if that may not come here.
    pub(crate) fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Name | Self::Token | Self::QuotedEnd, b';') => Some(Self::Start),
            (Self::Name, b'=') => Some(Self::Equal),
            (Self::Equal, b'"') => Some(Self::Quoted),
            (Self::Start | Self::Name, _) if syntax::is_token_byte(byte) => Some(Self::Name),
            (Self::Equal | Self::Token, _) if syntax::is_token_byte(byte) => Some(Self::Token),
            (Self::Quoted, b'"') => Some(Self::QuotedEnd),
            (Self::Quoted, b'\\') => Some(Self::Escape),
            (Self::Quoted | Self::Escape, b'\t' | b' '..=b'~' | 0x80..) => Some(Self::Quoted),
            _ => None,
        }
    }

    /// Whether the line may end here.
    pub(crate) fn is_complete(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::QuotedEnd)
    }
}
