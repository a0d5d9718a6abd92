// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::Condition;
use crate::refusal::refusal;
use serde_json::Value;
use tidegate_contract::{Answer, Exchange, Filter, Flow, Identity, Phases};

/// Lets in who may.
#[derive(Debug)]
pub struct Authorize {
    subjects: Vec<String>,
    roles: Vec<String>,
    scopes: Vec<String>,
    /// A name, and the texts of which it is or has one.
    claims: Vec<(String, Vec<String>)>,
    condition: Option<Condition>,
    /// What a token lacks, for its owner (RFC 6750 §3.1).
    challenge: String,
}

impl Authorize {
    /// The filter for these settings.
    ///
    /// # Errors
    /// The condition cannot be read, or asks about the response.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let condition = settings.expression.as_deref();
        let condition = condition.map(Condition::of_requests).transpose();
        let condition = condition.map_err(|error| format!("`expression` {error}"))?;
        let mut claims: Vec<(String, Vec<String>)> = Vec::new();
        for (name, text) in settings.claims {
            match claims.iter_mut().find(|(own, _)| *own == name) {
                Some((_, texts)) => texts.push(text),
                None => claims.push((name, vec![text])),
            }
        }
        // What no token could have is not asked for: a scope is of few characters (RFC 6749 §3.3).
        let is_scope = |scope: &&String| {
            let mut bytes = scope.bytes();
            bytes.all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        let scopes: Vec<_> = settings
            .scopes
            .iter()
            .filter(is_scope)
            .map(String::as_str)
            .collect();
        let challenge = format!(
            "Bearer error=\"insufficient_scope\", scope=\"{}\"",
            scopes.join(" ")
        );
        Ok(Self {
            subjects: settings.subjects,
            roles: settings.roles,
            scopes: settings.scopes,
            claims,
            condition,
            challenge,
        })
    }

    /// What is missing.
    fn lacks(&self, exchange: &Exchange) -> Option<Answer> {
        let asks_who = !(self.subjects.is_empty()
            && self.roles.is_empty()
            && self.scopes.is_empty()
            && self.claims.is_empty());
        if asks_who {
            let Some(identity) = exchange.identity.as_deref() else {
                return Some(refusal(403, "who calls is not known"));
            };
            if let Some(answer) = self.lacks_of(identity) {
                return Some(answer);
            }
        }
        let condition = self.condition.as_ref()?;
        match condition.holds(exchange, None) {
            Ok(true) => None,
            // One that cannot be told is not true.
            Ok(false) | Err(_) => Some(refusal(403, "the caller may not do this")),
        }
    }

    fn lacks_of(&self, identity: &Identity) -> Option<Answer> {
        if !self.subjects.is_empty() && !self.subjects.contains(&identity.subject) {
            return Some(refusal(403, "the caller may not do this"));
        }
        let mut roles = self.roles.iter();
        if !self.roles.is_empty() && !roles.any(|role| identity.roles.contains(role)) {
            return Some(refusal(403, "the caller has none of the roles that may"));
        }
        let mut scopes = self.scopes.iter();
        if !scopes.all(|scope| identity.scopes.contains(scope)) {
            let mut answer = refusal(403, "the caller lacks a scope");
            if identity.scheme == "jwt" {
                let challenge = self.challenge.as_bytes();
                // The others do not know it.
                let _ = answer.fields.append(b"WWW-Authenticate", challenge);
            }
            return Some(answer);
        }
        let mut claims = self.claims.iter();
        let has_all = claims.all(|(name, texts)| match identity.claims().get(name) {
            Some(Value::String(text)) => texts.contains(text),
            Some(Value::Array(list)) => {
                let mut list = list.iter().filter_map(Value::as_str);
                list.any(|text| texts.iter().any(|own| own == text))
            }
            _ => false,
        });
        (!has_all).then(|| refusal(403, "the caller lacks a claim"))
    }
}

impl Filter for Authorize {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        match self.lacks(exchange) {
            None => Flow::Continue,
            Some(answer) => Flow::Respond(Box::new(answer)),
        }
    }
}
