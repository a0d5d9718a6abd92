// SPDX-License-Identifier: Apache-2.0
use crate::transport::Unreachable;
use instant_acme::{Error, Identifier, Problem};

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `unreachable`, `timeout`, `unusable` for an answer that makes no sense, `unsupported`, or what the
    /// authority calls it, without the prefix: `rateLimited`, `rejectedIdentifier` (RFC 8555 §6.7).
    pub kind: String,
    /// For people.
    pub detail: String,
    /// What is said of single names.
    pub parts: Vec<Part>,
}

/// What an authority says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The host name.
    pub name: String,
    /// As in [`Failure`].
    pub kind: String,
    /// For people.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            detail: detail.into(),
            parts: Vec::new(),
        }
    }

    fn problem(problem: Problem) -> Self {
        let name = |identifier: Option<Identifier>| match identifier {
            Some(Identifier::Dns(name)) => name,
            _ => String::new(),
        };
        let parts = problem.subproblems.into_iter().map(|each| Part {
            name: name(each.identifier),
            kind: kind(each.r#type),
            detail: each.detail.unwrap_or_default(),
        });
        Self {
            kind: kind(problem.r#type),
            detail: problem.detail.unwrap_or_default(),
            parts: parts.collect(),
        }
    }
}

pub(crate) fn kind(urn: Option<String>) -> String {
    let urn = urn.unwrap_or_else(|| "unusable".to_owned());
    match urn.strip_prefix("urn:ietf:params:acme:error:") {
        Some(kind) => kind.to_owned(),
        None => urn,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::problem(problem),
            Error::Timeout(_) => Self::new("timeout", "the authority did not get ready in time"),
            Error::Unsupported(what) => Self::new("unsupported", what),
            Error::Other(inner) => match inner.downcast::<Unreachable>() {
                Ok(unreachable) => Self::new("unreachable", unreachable.0),
                Err(other) => Self::new("unusable", other.to_string()),
            },
            other => Self::new("unusable", other.to_string()),
        }
    }
}
