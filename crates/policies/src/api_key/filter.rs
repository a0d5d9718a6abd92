// SPDX-License-Identifier: Apache-2.0
use super::checked::is_whole;
use super::config::{ApiKeyScheme, Settings};
use super::table::{Found, Table};
use crate::edit;
use crate::refusal::refusal;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_request::{FieldId, Request};
use tidegate_routing::decoded_query;

/// Bytes of the longest key.
const LONGEST: usize = 256;

/// Lets those through who show a key that is known.
pub struct ApiKey {
    header: Option<String>,
    authorization: Option<ApiKeyScheme>,
    query: Option<String>,
    prefix: String,
    forward: bool,
    challenge: String,
    table: Table,
}

/// What a request shows.
enum Shown<'a> {
    Nothing,
    One(Cow<'a, [u8]>),
    /// Endpoints would differ in which of them they read, and so might we.
    Several,
}

impl ApiKey {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A hash that is none, or that two keys have.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let challenge = challenge(&settings);
        Ok(Self {
            header: settings.header,
            authorization: settings.authorization,
            query: settings.query,
            prefix: settings.prefix,
            forward: settings.forward,
            challenge,
            table: Table::new(settings.owners)?,
        })
    }

    fn shown<'a>(&self, request: &'a Request) -> Shown<'a> {
        let fields = request.fields();
        let mut found = Shown::Nothing;
        let mut add = |key: Cow<'a, [u8]>| {
            found = match found {
                Shown::Nothing => Shown::One(key),
                _ => Shown::Several,
            };
        };
        if let Some(name) = &self.header {
            let values = fields.get_all_name(name.as_bytes());
            values.for_each(|value| add(Cow::Borrowed(value)));
        }
        if let Some(scheme) = self.authorization {
            let values = fields.get_all(FieldId::Authorization);
            let keys = values.filter_map(|value| behind(value, scheme));
            keys.for_each(|key| add(Cow::Borrowed(key)));
        }
        if let Some(name) = &self.query {
            let pairs = request.query_pairs();
            pairs
                .filter(|(own, _)| *decoded_query(own) == *name.as_bytes())
                .for_each(|(_, value)| add(Cow::Owned(decoded_query(value).into_vec())));
        }
        found
    }

    /// Whose key it is, or why it is nobody's.
    fn found(&self, key: &[u8], now: u64) -> Result<Found<'_>, &'static str> {
        if key.is_empty() || key.len() > LONGEST {
            return Err("the API key is empty or too long");
        }
        if is_whole(key, &self.prefix) == Some(false) {
            return Err("the API key is mistyped or cut off");
        }
        let digest: [u8; 32] = Sha256::digest(key).into();
        Ok(self.table.find(&digest, now))
    }

    /// Takes the key out: endpoints have no use for it, nor has a log.
    fn take_out(&self, request: &mut Request) -> Option<()> {
        if self.forward {
            return Some(());
        }
        if let Some(name) = &self.header {
            request.fields_mut().remove(name.as_bytes()).ok()?;
        }
        if let Some(scheme) = self.authorization {
            let values = request.fields().get_all(FieldId::Authorization);
            let has_key = { values }.any(|value| behind(value, scheme).is_some());
            if has_key {
                request
                    .fields_mut()
                    .remove_id(FieldId::Authorization)
                    .ok()?;
            }
        }
        if let (Some(name), Some(query)) = (&self.query, request.query()) {
            let is_own = |pair: &[u8]| {
                let end = pair.iter().position(|byte| *byte == b'=');
                let own = pair.get(..end.unwrap_or(pair.len())).unwrap_or(pair);
                *decoded_query(own) == *name.as_bytes()
            };
            let pairs: Vec<&[u8]> = query.split(|byte| *byte == b'&').collect();
            if pairs.iter().any(|pair| is_own(pair)) {
                let kept: Vec<&[u8]> = pairs.into_iter().filter(|pair| !is_own(pair)).collect();
                let rest = (!kept.is_empty()).then(|| kept.join(&b'&'));
                request.set_query(rest.as_deref()).ok()?;
            }
        }
        Some(())
    }

    /// What it is about the key is for the log; who tries keys learns nothing of them.
    fn refused(&self, detail: &'static str) -> Flow<'_> {
        let mut answer = refusal(401, "an API key that is known here is needed");
        answer.error = answer.error.map(|(kind, _)| (kind, detail));
        let challenge = self.challenge.as_bytes();
        match answer.fields.append(b"WWW-Authenticate", challenge) {
            Ok(()) => Flow::Respond(Box::new(answer)),
            Err(_) => edit::failed(),
        }
    }
}

impl Filter for ApiKey {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        let found = match self.shown(&exchange.request) {
            Shown::One(key) => self.found(&key, exchange.received),
            Shown::Nothing => Err("the request shows no API key"),
            Shown::Several => Err("the request shows several API keys"),
        };
        if self.take_out(&mut exchange.request).is_none() {
            return edit::failed();
        }
        match found {
            Ok(Found::Good(owner)) => {
                exchange.identity = Some(owner.clone());
                Flow::Continue
            }
            Ok(Found::Expired) => self.refused("the API key has expired"),
            Ok(Found::Disabled) => self.refused("the API key's owner is disabled"),
            Ok(Found::Unknown) => self.refused("the API key is not known"),
            Err(detail) => self.refused(detail),
        }
    }
}

/// What stands behind the scheme in `Authorization` (RFC 9110 §11.4).
fn behind(value: &[u8], scheme: ApiKeyScheme) -> Option<&[u8]> {
    let name: &[u8] = match scheme {
        ApiKeyScheme::Apikey => b"apikey",
        ApiKeyScheme::Bearer => b"bearer",
    };
    let (own, rest) = value.split_at_checked(name.len())?;
    let is_own = own.eq_ignore_ascii_case(name) && rest.first() == Some(&b' ');
    is_own.then(|| rest.trim_ascii())
}

/// `WWW-Authenticate` (RFC 9110 §11.6.1), which every 401 has. There is no scheme for keys in fields; this one
/// says where a key is looked for.
fn challenge(settings: &Settings) -> String {
    let mut all = Vec::new();
    match settings.authorization {
        Some(ApiKeyScheme::Bearer) => all.push("Bearer realm=\"api\"".to_owned()),
        Some(ApiKeyScheme::Apikey) => all.push("ApiKey realm=\"api\"".to_owned()),
        None => {}
    }
    if let Some(name) = &settings.header {
        all.push(format!("ApiKey in=\"header\", name=\"{name}\""));
    }
    if all.is_empty() {
        all.push("ApiKey in=\"query\"".to_owned());
    }
    all.join(", ")
}
