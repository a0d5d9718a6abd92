// SPDX-License-Identifier: Apache-2.0
use std::fmt;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no signed token: another form, too long, broken encoding, no object, a member twice.
    Malformed,
    /// Its header demands an extension that is not known (`crit`, `b64`).
    Critical,
    /// Its algorithm is not among those that are taken, or has no name here.
    Algorithm,
    /// No key, or more than one, fits its key identifier and algorithm.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
    /// Its issuer is not one of those that are trusted.
    Issuer,
    /// It is for others.
    Audience,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// A claim is missing, of the wrong type, or has a value that is not taken.
    Claim,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Critical,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Issuer,
        Self::Audience,
        Self::Expired,
        Self::NotYet,
        Self::Claim,
    ];

    /// For the log of whoever runs the gateway; nothing of the token is in it.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "the token is malformed",
            Self::Critical => "the token demands an extension that is not known",
            Self::Algorithm => "the token's algorithm is not taken",
            Self::UnknownKey => "no key fits the token",
            Self::Signature => "the token's signature is wrong",
            Self::Issuer => "the token's issuer is not trusted",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Claim => "a claim of the token is not as required",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.detail())
    }
}

impl std::error::Error for Refusal {}
