// SPDX-License-Identifier: Apache-2.0
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// Who calls: what a policy has proved, and what the proof says.
#[derive(Debug, Default)]
pub struct Identity {
    /// How it was proved: the room of the policy.
    pub scheme: &'static str,
    /// Who: a user, a service, the owner of a key.
    pub subject: String,
    /// Who says so; empty where that is tidegate's own configuration.
    pub issuer: String,
    /// What it is.
    pub roles: Vec<String>,
    /// What it was given leave to do.
    pub scopes: Vec<String>,
    /// Everything else: an object.
    claims: Value,
    text: OnceLock<String>,
}

impl Identity {
    /// Somebody of whom nothing but the name is known.
    pub fn new(scheme: &'static str, subject: String) -> Self {
        Self {
            scheme,
            subject,
            claims: Value::Object(Map::new()),
            ..Self::default()
        }
    }

    /// The same with what else is said.
    #[must_use]
    pub fn with_claims(self, claims: Map<String, Value>) -> Self {
        Self {
            claims: Value::Object(claims),
            ..self
        }
    }

    /// What else is said: always an object.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The whole of it in JSON, as function workers get it.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| {
            json!({
                "scheme": self.scheme,
                "subject": self.subject,
                "issuer": self.issuer,
                "roles": self.roles,
                "scopes": self.scopes,
                "claims": self.claims,
            })
            .to_string()
        })
    }
}
