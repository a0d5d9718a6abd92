// SPDX-License-Identifier: Apache-2.0
//! What of a token's claims is used, and where it stands in them.
use super::Settings;
use serde_json::{Map, Value};
use tidegate_contract::Identity;
use tidegate_jose::Refusal;

/// The claims that settings name.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Each with the values of which it must be or have one.
    required: Vec<(String, Vec<String>)>,
    roles: Vec<String>,
    scopes: Vec<String>,
}

impl Wanted {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut required: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in &settings.required {
            match required.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value.clone()),
                None => required.push((name.clone(), vec![value.clone()])),
            }
        }
        Self {
            required,
            roles: settings.roles.clone(),
            scopes: settings.scopes.clone(),
        }
    }

    /// Whether the claims have what is required.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let has = |(name, values): &(String, Vec<String>)| {
            let is_one = |value: &Value| values.iter().any(|own| value == own.as_str());
            match claims.get(name) {
                Some(Value::Array(list)) => list.iter().any(is_one),
                Some(value) => is_one(value),
                None => false,
            }
        };
        match self.required.iter().all(has) {
            true => Ok(()),
            false => Err(Refusal::Claim),
        }
    }

    /// Who calls, by claims that were verified.
    pub(super) fn identity(&self, claims: Map<String, Value>) -> Result<Identity, Refusal> {
        let text = |name: &str| match claims.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(Refusal::Claim),
        };
        let found = |paths: &[String], splits: bool| {
            let mut all = Vec::new();
            for value in paths.iter().filter_map(|path| at(&claims, path)) {
                match value {
                    Value::String(text) if splits => {
                        all.extend(text.split_ascii_whitespace().map(str::to_owned));
                    }
                    Value::String(text) => all.push(text.clone()),
                    Value::Array(list) => {
                        all.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => {}
                }
            }
            all
        };
        let mut identity = Identity::new("jwt", text("sub")?);
        identity.issuer = text("iss")?;
        identity.roles = found(&self.roles, false);
        identity.scopes = found(&self.scopes, true);
        Ok(identity.with_claims(claims))
    }
}

/// The claim of a name, or where a path leads (RFC 6901) that begins with `/`.
fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let Some(path) = path.strip_prefix('/') else {
        return claims.get(path);
    };
    let (first, rest) = match path.find('/') {
        Some(end) => path.split_at_checked(end)?,
        None => (path, ""),
    };
    let first = first.replace("~1", "/").replace("~0", "~");
    claims.get(&first)?.pointer(rest)
}
