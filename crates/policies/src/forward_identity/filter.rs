// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::config::IdentityPart;
use crate::edit;
use serde_json::Value;
use std::fmt::Write;
use tidegate_contract::{Exchange, Filter, Flow, Identity, Phases};
use tidegate_request::{FieldError, FieldsMut, folds_to};

/// What all names of these fields begin with. Requests of clients lose every field whose name does.
const FAMILY: &str = "X-Identity-";

/// Tells endpoints who calls.
#[derive(Clone, Debug)]
pub struct ForwardIdentity {
    parts: Vec<IdentityPart>,
    /// Claims, and the names of their fields.
    claims: Vec<(String, String)>,
}

impl ForwardIdentity {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A claim whose name makes no name of a field.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let claims = settings.claims.into_iter().map(|claim| {
            if !tidegate_request::syntax::is_token(claim.as_bytes()) {
                return Err(format!(
                    "`{}` makes no name of a field",
                    claim.escape_debug()
                ));
            }
            let name = format!("{FAMILY}Claim-{}", titled(&claim));
            Ok((claim, name))
        });
        Ok(Self {
            parts: settings.fields,
            claims: claims.collect::<Result<_, _>>()?,
        })
    }

    fn write(
        &self,
        identity: Option<&Identity>,
        fields: &mut FieldsMut<'_>,
    ) -> Result<(), FieldError> {
        let Some(identity) = identity else {
            return Ok(());
        };
        for part in &self.parts {
            let (name, value) = match part {
                IdentityPart::Subject => ("Subject", encoded(&identity.subject, false)),
                IdentityPart::Scheme => ("Scheme", encoded(identity.scheme, false)),
                IdentityPart::Issuer => ("Issuer", encoded(&identity.issuer, false)),
                IdentityPart::Roles => ("Roles", listed(identity.roles.iter())),
                IdentityPart::Scopes => ("Scopes", listed(identity.scopes.iter())),
            };
            append(fields, &format!("{FAMILY}{name}"), &value)?;
        }
        for (claim, name) in &self.claims {
            let value = match identity.claims().get(claim) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => encoded(text, false),
                Some(Value::Array(list)) => listed(list.iter().map(plain)),
                Some(other) => encoded(&other.to_string(), false),
            };
            append(fields, name, &value)?;
        }
        Ok(())
    }
}

/// What is empty is not told.
fn append(fields: &mut FieldsMut<'_>, name: &str, value: &str) -> Result<(), FieldError> {
    match value.is_empty() {
        true => Ok(()),
        false => fields.append(name.as_bytes(), value.as_bytes()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `tenant_id` as `Tenant-Id`: what CGI cannot tell apart from `-` is written so.
fn titled(claim: &str) -> String {
    let mut begins = true;
    let letters = claim.chars().map(|letter| {
        let letter = match (letter.is_ascii_alphanumeric(), begins) {
            (false, _) => '-',
            (true, true) => letter.to_ascii_uppercase(),
            (true, false) => letter.to_ascii_lowercase(),
        };
        begins = letter == '-';
        letter
    });
    letters.collect()
}

fn listed<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> String {
    let texts: Vec<_> = texts.map(|text| encoded(text.as_ref(), true)).collect();
    texts.join(",")
}

/// A text as a field's value: visible ASCII and spaces within it as they are, all else as `%XX` of UTF-8, and `%`
/// itself. A comma too, where it stands in a list.
fn encoded(text: &str, in_list: bool) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let is_plain = match byte {
            b'%' => false,
            b',' => !in_list,
            b' ' => place != 0 && place != last,
            _ => byte.is_ascii_graphic(),
        };
        match is_plain {
            true => out.push(char::from(byte)),
            false => {
                let _ = write!(out, "%{byte:02X}"); // text takes everything
            }
        }
    }
    out
}

impl Filter for ForwardIdentity {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        // Proxies in front may have sent what they know; from here on it is what this gateway knows.
        let fields = exchange.request.fields().iter();
        let sent: Vec<Vec<u8>> = fields
            .filter(|field| {
                let start = field.name.get(..FAMILY.len());
                start.is_some_and(|start| folds_to(start, FAMILY.as_bytes()))
            })
            .map(|field| field.name.to_vec())
            .collect();
        let identity = exchange.identity.clone();
        let mut fields = exchange.request.fields_mut();
        let removed = sent
            .iter()
            .try_for_each(|name| fields.remove(name).map(|_| ()));
        match removed.and_then(|()| self.write(identity.as_deref(), &mut fields)) {
            Ok(()) => Flow::Continue,
            Err(_) => edit::failed(),
        }
    }
}
