// SPDX-License-Identifier: Apache-2.0
use std::borrow::Cow;
use tidegate_request::{FieldError, FieldId, Request};
use tidegate_routing::decoded_query;

/// Where tokens may be.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) headers: Vec<String>,
    pub(super) cookies: Vec<String>,
    pub(super) query: Vec<String>,
}

/// What was found there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing, or another scheme of authentication.
    Nothing,
    /// One, as it was sent; that of a query decoded.
    One(Cow<'a, [u8]>),
    /// Two and more, or a field twice that may be there once: two readers would take different ones
    /// (RFC 6750 §2, RFC 9110 §5.3).
    Several,
}

impl Places {
    /// Looks everywhere, also when one was found.
    pub(super) fn find<'a>(&self, request: &'a Request) -> Found<'a> {
        let fields = request.fields();
        let mut found = Found::Nothing;
        let mut add = |token: Cow<'a, [u8]>| {
            found = match found {
                Found::Nothing => Found::One(token),
                Found::One(_) | Found::Several => Found::Several,
            };
        };
        for name in &self.headers {
            if FieldId::recognise(name.as_bytes()) == FieldId::Authorization {
                // Another one might be who an endpoint takes it for, whatever its scheme is.
                if fields.count(FieldId::Authorization) > 1 {
                    return Found::Several;
                }
                let value = fields.get(FieldId::Authorization).and_then(bearer);
                value.into_iter().for_each(|token| add(token.into()));
            } else {
                let all = fields.get_all_name(name.as_bytes());
                all.for_each(|value| add(bearer(value).unwrap_or(value).into()));
            }
        }
        if !self.cookies.is_empty() {
            let own = request.cookies().filter(|(name, _)| self.is_cookie(name));
            own.for_each(|(_, value)| add(value.into()));
        }
        if !self.query.is_empty() {
            let own = request
                .query_pairs()
                .filter(|(name, _)| self.is_query(name));
            own.for_each(|(_, value)| add(decoded_query(value).into_vec().into()));
        }
        found
    }

    fn is_cookie(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|own| own.as_bytes() == name)
    }

    /// Endpoints decode names, so one has several spellings.
    fn is_query(&self, name: &[u8]) -> bool {
        let name = decoded_query(name);
        self.query.iter().any(|own| *name == *own.as_bytes())
    }

    /// Takes out whatever may be a token.
    pub(super) fn clear(&self, request: &mut Request) -> Result<(), FieldError> {
        for name in &self.headers {
            request.fields_mut().remove(name.as_bytes())?;
        }
        if !self.cookies.is_empty() && request.cookies().any(|(name, _)| self.is_cookie(name)) {
            let others = request.cookies().filter(|(name, _)| !self.is_cookie(name));
            let others: Vec<_> = others
                .map(|(name, value)| [name, value].join(&b'='))
                .collect();
            match others.is_empty() {
                true => drop(request.fields_mut().remove(b"cookie")?),
                false => request
                    .fields_mut()
                    .set(b"cookie", &others.join(b"; ".as_slice()))?,
            }
        }
        if !self.query.is_empty() && request.query_pairs().any(|(name, _)| self.is_query(name)) {
            let query = request.query().unwrap_or_default();
            let name = |part: &[u8]| {
                part.split(|&byte| byte == b'=')
                    .next()
                    .unwrap_or_default()
                    .to_vec()
            };
            let parts = query.split(|&byte| byte == b'&');
            let others: Vec<_> = parts.filter(|part| !self.is_query(&name(part))).collect();
            let others = (!others.is_empty()).then(|| others.join(&b'&'));
            // What is left of a query is one.
            let _ = request.set_query(others.as_deref());
        }
        Ok(())
    }
}

/// What stands behind `Bearer` (RFC 6750 §2.1); the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = match scheme.eq_ignore_ascii_case(b"Bearer") {
        true => token,
        false => return None,
    };
    match token.first() {
        None | Some(b' ') => Some(token.trim_ascii_start()),
        Some(_) => None,
    }
}
